"""Pre-activation ResNet-18: normalisation and activation precede every convolution."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from trainables.backbones.backbone import SMALL_IMAGE_SIZE, Backbone, init_for_relu


class PreactBlock(nn.Module):
    """Two 3x3 convolutions, each after batch normalisation and ReLU, around an identity or a projection."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        changes = stride != 1 or in_channels != channels
        self.projection = nn.Conv2d(in_channels, channels, 1, stride, bias=False) if changes else None

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, channels, ceil(H / stride), ceil(W / stride)) of maps (B, in_channels, H, W)."""
        active = F.relu(self.norm1(maps))
        shortcut = maps if self.projection is None else self.projection(active)
        residual: Tensor = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return residual + shortcut


def preact_resnet18(in_channels: int, image_size: int) -> Backbone:
    """Build the pre-activation ResNet-18, which M2m trains on 32x32 images.

    A block that changes the shape shares its first activation with the shortcut. A final normalisation and ReLU precede
    the pooling.

    Source: He et al. 2016, "Identity mappings in deep residual networks".
    """
    layers = _stem(in_channels, image_size)
    before = 64
    for channels in (64, 128, 256, 512):
        for index in range(2):
            layers.append(PreactBlock(before, channels, stride=2 if index == 0 and channels > 64 else 1))
            before = channels
    network = nn.Sequential(*layers, nn.BatchNorm2d(512), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    init_for_relu(network)
    return Backbone(512, network)


def _stem(in_channels: int, image_size: int) -> list[nn.Module]:
    if image_size <= SMALL_IMAGE_SIZE:
        return [nn.Conv2d(in_channels, 64, 3, padding=1, bias=False)]
    return [
        nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]
