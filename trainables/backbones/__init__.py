"""Backbones from images to features; importing this package does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.backbones.architecture import MIN_IMAGE_SIZE
from trainables.backbones.backbone_catalog import BACKBONES
from trainables.backbones.backbone_names import MODELS
from trainables.core.errors import BadInput, unknown_name

if TYPE_CHECKING:
    from trainables.backbones.backbone import Backbone

__all__ = ["BACKBONES", "MIN_IMAGE_SIZE", "MODELS", "build_backbone", "check_image_shape"]


def build_backbone(name: str, in_channels: int, image_size: int) -> Backbone:
    """Build a randomly initialised backbone; the head belongs to the method.

    Initial weights are sampled from torch's global generator, so equal seeds give equal networks.

    Args:
        name: one of `BACKBONES`: those of `MODELS`, then those of plug-ins.
        in_channels: channels C of the images, 1 for grey and 3 for colour, or length D of feature vectors.
        image_size: height and width of the images in pixels, at least `MIN_IMAGE_SIZE`; 1 for feature vectors, which
            only perceptrons accept. Up to 64 pixels the torchvision families get a stem without early downsampling.

    Returns:
        A module from images (B, C, image_size, image_size) to features (B, feature_dim), both floating
        point, with the attribute ``feature_dim``.

    Raises:
        BadInput: if the name is unknown, ``in_channels`` is below 1, the images are too small, or the builder of a
            plug-in returns something other than a module.

    >>> build_backbone("resnet32", in_channels=3, image_size=32).feature_dim
    64
    """
    check_backbone(name, in_channels, image_size)
    from torch import nn

    from trainables.backbones.backbone import Backbone

    built = BACKBONES[name].build(in_channels, image_size)
    if isinstance(built, Backbone):
        return built
    if not isinstance(built, nn.Module):
        raise BadInput(f"model {name}: `build` must return a torch module, got {type(built).__name__}")
    return Backbone(BACKBONES[name].features, built)


def check_backbone(name: str, in_channels: int, image_size: int) -> None:
    """Raise `BadInput` where `build_backbone` would, without importing torch.

    >>> check_backbone("resnet-32", 3, 32)
    Traceback (most recent call last):
        ...
    trainables.core.errors.BadInput: unknown model 'resnet-32'; did you mean 'resnet32'? ...
    """
    if name not in BACKBONES:
        raise unknown_name("model", name, BACKBONES)
    if in_channels < 1:
        raise BadInput(f"`in_channels` must be at least 1, got {in_channels}")
    smallest = BACKBONES[name].smallest_image
    if image_size == 1 and BACKBONES[name].vectors:
        return
    if image_size < smallest:
        able = [other for other in BACKBONES if BACKBONES[other].vectors] if image_size == 1 else []
        ways = f"; feature vectors need one of: {', '.join(able)}" if able else ""
        raise BadInput(f"`image_size` must be at least {smallest} pixels, got {image_size}{ways}")


def check_image_shape(name: str, image_shape: tuple[int, int, int]) -> None:
    """Check that a network can be built for images of a shape (C, H, W), without importing torch.

    Raises:
        BadInput: as in `build_backbone`, or if the images are not square and the network has a layer of fixed size.

    >>> check_image_shape("mlp", (3, 218, 178))
    Traceback (most recent call last):
        ...
    trainables.core.errors.BadInput: mlp needs square images, got 218 x 178 pixels (height x width); ...
    """
    channels, height, width = image_shape
    if name in BACKBONES and BACKBONES[name].square and height != width:
        raise BadInput(
            f"{name} needs square images, got {height} x {width} pixels (height x width); `image_size` in the "
            "data's settings makes them square"
        )
    check_backbone(name, channels, height)
