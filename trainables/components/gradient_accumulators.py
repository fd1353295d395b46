"""What every class got of positive and of negative gradient since the training began."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.components.losses.equalization_loss import SidedWeights

AT_THE_START = 100.0
"""Ratio before the first step: high, so that nothing is weighted yet."""


class GradientAccumulators(nn.Module):
    """Sums of the gradients that reached each class's logit.

    Float64: float32 sums of a long training would stop growing.

    Args:
        num_classes: K.

    Attributes:
        positive: from the class's own examples, (K,).
        negative: from the examples of others, (K,).
        ratio: g, positive over negative, (K,).

    >>> kept = GradientAccumulators(2)
    >>> kept.add(SidedWeights(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 2.0])))
    >>> kept.ratio
    tensor([3.0000, 0.5000], dtype=torch.float64)
    """

    positive: Tensor
    negative: Tensor
    ratio: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("positive", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("negative", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("ratio", torch.full((num_classes,), AT_THE_START, dtype=torch.float64))

    def add(self, gradients: SidedWeights) -> None:
        """Add a step's gradients, each of shape (K,)."""
        self.positive += gradients.positive
        self.negative += gradients.negative
        self.ratio.copy_(self.positive / (self.negative + 1e-10))
