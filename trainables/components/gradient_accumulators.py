"""Positive and negative gradients accumulated per class since the start of training (EQL v2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.components.losses.equalization_loss import SidedWeights

AT_THE_START = 100.0
"""Initial gradient ratio: high enough that the first step is unweighted."""


class GradientAccumulators(nn.Module):
    """Running sums of the gradient magnitudes at each class's logit.

    Sums are float64, since float32 sums would stop growing in a long training.

    Args:
        num_classes: K.

    Attributes:
        positive: sum over examples of the class, (K,).
        negative: sum over examples of other classes, (K,).
        ratio: g = positive / negative, (K,).

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
        """Add the gradient magnitudes of a step, each of shape (K,), and update the ratio."""
        self.positive += gradients.positive
        self.negative += gradients.negative
        self.ratio.copy_(self.positive / (self.negative + 1e-10))
