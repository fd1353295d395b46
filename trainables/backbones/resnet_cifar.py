"""ResNet-20/32/44/56 for small images, with parameter-free shortcuts."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from trainables.backbones.backbone import Backbone, init_for_relu


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with an identity shortcut; widening blocks subsample and zero-pad the shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.missing = channels - in_channels

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, channels, ceil(H / stride), ceil(W / stride)) of maps (B, in_channels, H, W)."""
        residual = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(maps)))))
        return F.relu(residual + self.shortcut(maps))

    def shortcut(self, maps: Tensor) -> Tensor:
        """Subsample by the stride and pad the missing channels with zeros, half of them on each side."""
        if self.stride == 1 and self.missing == 0:
            return maps
        before = self.missing // 2
        return F.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.missing - before))


def cifar_resnet(blocks: int, in_channels: int, image_size: int) -> Backbone:
    """Build the ResNet of 6n + 2 layers with 16, 32 and 64 channels and global average pooling.

    Source: He et al. 2016, "Deep residual learning for image recognition", section 4.2, with shortcuts of
    option A; zeros on both sides and N(0, 2 / fan_in) weights as in the released code of LDAM and M2m.

    Args:
        blocks: n, blocks of two convolutions in each of the three stages.
        in_channels: channels of the images.
        image_size: height and width of the images, in pixels; the network does not depend on it.
    """
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    ]
    before = 16
    for channels in (16, 32, 64):
        for index in range(blocks):
            layers.append(BasicBlock(before, channels, stride=2 if index == 0 and channels > 16 else 1))
            before = channels
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    init_for_relu(network)
    return Backbone(64, network)
