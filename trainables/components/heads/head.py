"""Base class of all heads, and the precision in which heads compute."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """Maps features (B, d) to logits (B, K) and may add a regularisation term to the loss.

    Attributes:
        feature_dim: number of features d.
        num_classes: number of classes K.
        calibrates: True if `calibrate` has an effect; it costs one forward pass of the backbone.
    """

    calibrates = False

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.num_classes = num_classes

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, K) of features (B, d), in float32, or in float64 for float64 features."""
        raise NotImplementedError

    def penalty(self) -> Tensor | None:
        """Return the regularisation term added to the batch loss, a scalar, or None if there is none."""
        return None

    def calibrate(self, features: Tensor, labels: Tensor) -> None:
        """Initialise scale-dependent buffers from the features (B, d) and labels (B,) of the first training batch."""

    def extra_repr(self) -> str:
        """Return the sizes shown when the module is printed."""
        return f"feature_dim={self.feature_dim}, num_classes={self.num_classes}"


def at_least_float32(values: Tensor) -> Tensor:
    """Promote float16 and bfloat16 values to float32; return float32 and float64 unchanged.

    >>> at_least_float32(torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def without_autocast(values: Tensor) -> torch.autocast:
    """Return a context manager that disables autocast on the device of `values`.

    Logits are differences of nearly equal numbers (margins, distances), which bfloat16 cannot resolve.
    """
    return torch.autocast(values.device.type, enabled=False)
