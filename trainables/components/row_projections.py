"""Projections of a head's rows after a step: onto lengths that are allowed."""

from __future__ import annotations

import torch
from torch import Tensor


def longest_allowed(rows: Tensor, share: float) -> Tensor:
    """Return a length between those of the shortest and the longest row, a scalar.

    Args:
        rows: w, (K, d).
        share: 0 is the shortest row's length, 1 the longest's.

    >>> longest_allowed(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), 0.5)
    tensor(3.)
    """
    lengths = torch.linalg.vector_norm(rows, dim=1)
    return torch.lerp(lengths.min(), lengths.max(), share)


def within_ball(rows: Tensor, radius: Tensor) -> Tensor:
    """Return min(1, radius / ||w_k||) w_k for every row: the nearest rows no longer than the radius (MaxNorm).

    Args:
        rows: w, (K, d).
        radius: scalar, at least 0.

    Source: Alshammari, Wang, Ramanan and Kong, 2022, MaxNorm by projected gradient descent.

    >>> within_ball(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor(2.5))
    tensor([[1.5000, 2.0000],
            [0.0000, 1.0000]])
    """
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    # not a quotient clamped at 1: a row that is allowed stays as it is, and one of length 0 too
    return torch.where(lengths > radius, rows * (radius / lengths), rows)
