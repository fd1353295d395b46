"""Projections of a head's weight rows after a step (MaxNorm)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def longest_allowed(rows: Tensor, share: float) -> Tensor:
    """Return a row norm between the smallest and the largest, a scalar.

    Args:
        rows: w, (K, d).
        share: interpolation weight in [0, 1]; 0 gives the smallest row norm, 1 the largest.

    >>> longest_allowed(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), 0.5)
    tensor(3.)
    """
    lengths = torch.linalg.vector_norm(rows, dim=1)
    return torch.lerp(lengths.min(), lengths.max(), share)


def within_ball(rows: Tensor, radius: Tensor) -> Tensor:
    """Project each row onto the ball of the given radius: min(1, radius / ||w_k||) w_k (MaxNorm).

    Args:
        rows: w, (K, d).
        radius: scalar, at least 0.

    Source: Alshammari, Wang, Ramanan and Kong, 2022, MaxNorm by projected gradient descent.

    >>> within_ball(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor(2.5))
    tensor([[1.5000, 2.0000],
            [0.0000, 1.0000]])
    """
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    # where() instead of a clamped quotient: rows within the ball stay bit for bit, including rows of norm 0
    return torch.where(lengths > radius, rows * (radius / lengths), rows)


class MaxNormRadius(nn.Module):
    """The radius of MaxNorm as a buffer ``radius``, a scalar; infinite until it is set."""

    radius: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("radius", torch.tensor(float("inf")))
