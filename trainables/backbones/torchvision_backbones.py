"""Torchvision's networks without classifier, with stems that suit small images.

Torchvision's networks reduce images 32-fold (SqueezeNet 16-fold), which leaves one pixel of 32x32 well before the last
layer. For images up to `SMALL_IMAGE_SIZE` pixels, every network here reduces 8-fold: 32x32 becomes 4x4. The
classifier's dropout is removed with it, since the head belongs to the method. EfficientNet's stochastic depth
stays, because it is part of the blocks; it samples from torch's global generator.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from trainables.backbones.backbone import SMALL_IMAGE_SIZE, Backbone

Make = Callable[..., Any]
"""Constructor of a torchvision network; torchvision has no type hints."""

_fan_out = partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu")


def resnet(make: Make, in_channels: int, image_size: int) -> Backbone:
    """Build a ResNet or ResNeXt; for small images with a 3x3 stem of stride 1 and no max pooling."""
    network = make(num_classes=1)
    network.conv1 = _stem(network.conv1, in_channels, image_size, _fan_out)
    if image_size <= SMALL_IMAGE_SIZE:
        network.maxpool = nn.Identity()
    feature_dim = network.fc.in_features
    network.fc = nn.Identity()
    return Backbone(feature_dim, network)


def densenet(make: Make, in_channels: int, image_size: int) -> Backbone:
    """Build a DenseNet; for small images with a 3x3 stem of stride 1 and no max pooling."""
    network = make(num_classes=1)
    network.features.conv0 = _stem(network.features.conv0, in_channels, image_size, nn.init.kaiming_normal_)
    if image_size <= SMALL_IMAGE_SIZE:
        network.features.pool0 = nn.Identity()
    feature_dim = network.classifier.in_features
    network.classifier = nn.Identity()
    return Backbone(feature_dim, network)


def squeezenet(make: Make, in_channels: int, image_size: int) -> Backbone:
    """Build a SqueezeNet; for small images with a 3x3 stem of stride 1, keeping its three max poolings.

    Deviation: the original classifies every pixel by a 1x1 convolution with ReLU and averages the results. Here the
    last 512 maps are averaged into features, so that any head can follow.
    """
    network = make(num_classes=1)
    network.features[0] = _stem(network.features[0], in_channels, image_size, nn.init.kaiming_uniform_)
    network.classifier = nn.AdaptiveAvgPool2d(1)
    return Backbone(512, network)


def efficientnet(make: Make, in_channels: int, image_size: int) -> Backbone:
    """Build an EfficientNet; for small images the stem and the first reducing stage have stride 1."""
    network = make(num_classes=1)
    network.features[0][0] = _stem(network.features[0][0], in_channels, image_size, _fan_out)
    if image_size <= SMALL_IMAGE_SIZE:
        _keep_resolution(network.features[2])
    feature_dim = network.classifier[1].in_features
    network.classifier = nn.Identity()
    return Backbone(feature_dim, network)


def _stem(original: nn.Conv2d, in_channels: int, image_size: int, init: Callable[..., Any]) -> nn.Conv2d:
    """Return a first convolution for these images, initialised as in its family."""
    small = image_size <= SMALL_IMAGE_SIZE
    stem = nn.Conv2d(
        in_channels,
        original.out_channels,
        kernel_size=3 if small else original.kernel_size,  # type: ignore[arg-type]
        stride=1 if small else original.stride,  # type: ignore[arg-type]
        padding=1 if small else original.padding,  # type: ignore[arg-type]
        bias=original.bias is not None,
    )
    init(stem.weight)
    if stem.bias is not None:
        nn.init.zeros_(stem.bias)
    return stem


def _keep_resolution(stage: nn.Module) -> None:
    for module in stage.modules():
        if isinstance(module, nn.Conv2d) and module.stride == (2, 2):
            module.stride = (1, 1)
