"""Backbones from images to features; importing this package does not import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.backbones.backbone_names import MODELS, PERCEPTRONS, SMALL_NETWORKS
from trainables.core.errors import BadInput, unknown_name

if TYPE_CHECKING:
    from trainables.backbones.backbone import Backbone

__all__ = ["MIN_IMAGE_SIZE", "MODELS", "build_backbone", "check_image_shape"]

MIN_IMAGE_SIZE = 8
"""Smallest height and width in pixels; three halvings reduce it to one pixel."""


def build_backbone(name: str, in_channels: int, image_size: int) -> Backbone:
    """Build a randomly initialised backbone; the head belongs to the method.

    Initial weights are sampled from torch's global generator, so equal seeds give equal networks.

    Args:
        name: one of `MODELS`.
        in_channels: channels C of the images, 1 for grey and 3 for colour, or length D of feature vectors.
        image_size: height and width of the images in pixels, at least `MIN_IMAGE_SIZE`; 1 for feature vectors, which
            only perceptrons accept. Up to 64 pixels the torchvision families get a stem without early downsampling.

    Returns:
        A module from images (B, C, image_size, image_size) to features (B, feature_dim), both floating
        point, with the attribute ``feature_dim``.

    Raises:
        BadInput: if the name is not in `MODELS`, ``in_channels`` is below 1, or the images are too small.

    >>> build_backbone("resnet32", in_channels=3, image_size=32).feature_dim
    64
    """
    check_backbone(name, in_channels, image_size)
    from trainables.backbones.builders import BUILDERS  # imports torch and torchvision, which takes seconds

    return BUILDERS[name](in_channels, image_size)


def check_backbone(name: str, in_channels: int, image_size: int) -> None:
    """Raise `BadInput` where `build_backbone` would, without importing torch.

    >>> check_backbone("resnet-32", 3, 32)
    Traceback (most recent call last):
        ...
    trainables.core.errors.BadInput: unknown model 'resnet-32'; did you mean 'resnet32'? ...
    """
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    if in_channels < 1:
        raise BadInput(f"`in_channels` must be at least 1, got {in_channels}")
    if image_size == 1 and name in PERCEPTRONS:
        return
    if image_size < MIN_IMAGE_SIZE:
        ways = f"; feature vectors need one of: {', '.join(PERCEPTRONS)}" if image_size == 1 else ""
        raise BadInput(f"`image_size` must be at least {MIN_IMAGE_SIZE} pixels, got {image_size}{ways}")


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
    if name in SMALL_NETWORKS and height != width:
        raise BadInput(
            f"{name} needs square images, got {height} x {width} pixels (height x width); `image_size` in the "
            "data's settings makes them square"
        )
    check_backbone(name, channels, height)
