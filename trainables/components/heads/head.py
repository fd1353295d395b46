"""What every head is, and in which precision heads compute."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """Turns features (B, d) into logits (B, K), and may add a term to the loss.

    Attributes:
        feature_dim: number of features d.
        num_classes: number of classes K.
        calibrates: whether `calibrate` does anything, and so is worth a forward pass.
    """

    calibrates = False

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.num_classes = num_classes

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, K) of features (B, d), in float32 or, for float64 features, float64."""
        raise NotImplementedError

    def penalty(self) -> Tensor | None:
        """Return a scalar to be added to the batch's loss, or None where there is nothing to add."""
        return None

    def calibrate(self, features: Tensor, labels: Tensor) -> None:
        """Fit what depends on the scale of the features (B, d), labels (B,), of the very first batch."""

    def extra_repr(self) -> str:
        """Name the two sizes in the printed module."""
        return f"feature_dim={self.feature_dim}, num_classes={self.num_classes}"


def at_least_float32(values: Tensor) -> Tensor:
    """Promote half and bfloat16 values to float32; keep float32 and float64 as they are.

    >>> at_least_float32(torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return values.to(torch.promote_types(values.dtype, torch.float32))


def without_autocast(values: Tensor) -> torch.autocast:
    """Return a context in which autocast is off on the device of `values`.

    Logits of a head are differences of near equals (margins, distances): three digits of bfloat16 lose them.
    """
    return torch.autocast(values.device.type, enabled=False)
