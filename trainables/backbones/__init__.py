"""Backbones from images to features; importing this package does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from trainables.backbones.architecture import MIN_IMAGE_SIZE
from trainables.backbones.backbone_catalog import BACKBONES, architecture_of
from trainables.backbones.backbone_names import MODELS
from trainables.backbones.timm_names import is_timm
from trainables.core.errors import BadInput

if TYPE_CHECKING:
    from trainables.backbones.backbone import Backbone

__all__ = ["BACKBONES", "MIN_IMAGE_SIZE", "MODELS", "architecture_of", "build_backbone", "check_image_shape"]


def build_backbone(
    name: str, in_channels: int, image_size: int, options: Mapping[str, Any] = MappingProxyType({})
) -> Backbone:
    """Build a randomly initialised backbone; the head belongs to the method.

    Initial weights are sampled from torch's global generator, so equal seeds give equal networks.

    Args:
        name: one of `BACKBONES`: those of `MODELS`, of timm (``timm/NAME``), and of plug-ins.
        in_channels: channels C of the images, 1 for grey and 3 for colour, or length D of feature vectors.
        image_size: height and width of the images in pixels, at least `MIN_IMAGE_SIZE`; 1 for feature vectors, which
            only perceptrons accept. Up to 64 pixels the torchvision families get a stem without early downsampling.
        options: keyword arguments of a network of timm.

    Returns:
        A module from images (B, C, image_size, image_size) to features (B, feature_dim), both floating
        point, with the attribute ``feature_dim``.

    Raises:
        BadInput: if the name is unknown, ``in_channels`` is below 1, the images are too small, a network of timm cannot
            take them, or the builder of a plug-in returns something other than a module.

    >>> build_backbone("resnet32", in_channels=3, image_size=32).feature_dim
    64
    """
    check_backbone(name, in_channels, image_size, options)
    from torch import nn

    from trainables.backbones.backbone import Backbone

    known = architecture_of(name, options)
    built = known.build(in_channels, image_size)
    if isinstance(built, Backbone):
        return built
    if not isinstance(built, nn.Module):
        raise BadInput(f"model {name}: `build` must return a torch module, got {type(built).__name__}")
    return Backbone(known.features, built)


def check_backbone(
    name: str, in_channels: int, image_size: int, options: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Raise `BadInput` where `build_backbone` would, without importing torch; a network of timm imports it.

    >>> check_backbone("resnet-32", 3, 32)
    Traceback (most recent call last):
        ...
    trainables.core.errors.BadInput: unknown model 'resnet-32'; did you mean 'resnet32'? ...
    """
    known = architecture_of(name, options)
    if in_channels < 1:
        raise BadInput(f"`in_channels` must be at least 1, got {in_channels}")
    smallest = known.smallest_image
    if image_size == 1 and known.vectors:
        return
    if image_size < smallest:
        able = [other for other in BACKBONES if BACKBONES[other].vectors] if image_size == 1 else []
        ways = f"; feature vectors need one of: {', '.join(able)}" if able else ""
        raise BadInput(f"`image_size` must be at least {smallest} pixels, got {image_size}{ways}")
    if is_timm(name):
        from trainables.backbones.timm_backbones import check_images

        check_images(name, options, in_channels, image_size)


def check_image_shape(
    name: str, image_shape: tuple[int, int, int], options: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Check that a network can be built for images of a shape (C, H, W), as `check_backbone` does.

    Raises:
        BadInput: as in `build_backbone`, or if the images are not square and the network has a layer of fixed size.

    >>> check_image_shape("mlp", (3, 218, 178))
    Traceback (most recent call last):
        ...
    trainables.core.errors.BadInput: mlp needs square images, got 218 x 178 pixels (height x width); ...
    """
    channels, height, width = image_shape
    if architecture_of(name, options).square and height != width:
        raise BadInput(
            f"{name} needs square images, got {height} x {width} pixels (height x width); `image_size` in the "
            "data's settings makes them square"
        )
    check_backbone(name, channels, height, options)
