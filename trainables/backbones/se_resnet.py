"""Residual blocks with squeeze-and-excitation."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torchvision.models.resnet import Bottleneck
from torchvision.ops import SqueezeExcitation

REDUCTION = 16


class SEBottleneck(Bottleneck):  # type: ignore[misc]
    """Bottleneck block whose residual is scaled per channel before the addition.

    s = sigmoid(W_2 relu(W_1 mean(u))) and out = relu(shortcut + s * u). W_1 reduces the channels by `REDUCTION`.

    Source: Hu et al. 2018, "Squeeze-and-excitation networks", eqs 2 to 4 and section 4 (r = 16). Deviation: the stride
    is in the 3x3 convolution, as in torchvision's ResNet-50; the released code has it in the first 1x1 convolution.
    """

    def __init__(self, in_channels: int, channels: int, *arguments: Any, **options: Any) -> None:
        super().__init__(in_channels, channels, *arguments, **options)
        width = channels * self.expansion
        self.se = SqueezeExcitation(width, width // REDUCTION)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, 4 * channels, ceil(H / stride), ceil(W / stride)) of maps (B, in_channels, H, W)."""
        inner = self.relu(self.bn1(self.conv1(maps)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        weighed = self.se(self.bn3(self.conv3(inner)))
        shortcut = maps if self.downsample is None else self.downsample(maps)
        out: Tensor = self.relu(weighed + shortcut)
        return out
