"""Distances between features and prototypes."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_distances(features: Tensor, prototypes: Tensor) -> Tensor:
    """Return ||f_i - w_j||^2 for each pair of feature vector and prototype.

    Computed by the expansion ||f||^2 - 2 f.w + ||w||^2 (eq. 4 of Hayat et al. 2019). Rounding can make it slightly
    negative; such values are clamped to 0, with zero gradient.

    Args:
        features: f, (B, d).
        prototypes: w, (N, d), of the same dtype.

    Returns:
        Squared distances (B, N), at least 0.

    >>> squared_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[25.,  0.]])
    """
    squares = features.square().sum(1, keepdim=True) + prototypes.square().sum(1)
    return (squares - 2 * features @ prototypes.T).clamp_min(0)


def manhattan_distances(features: Tensor, prototypes: Tensor) -> Tensor:
    """Return sum_k |f_ik - w_jk|, shape (B, N), for features (B, d) and prototypes (N, d).

    >>> manhattan_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, -4.0]]))
    tensor([[7.]])
    """
    return torch.cdist(features, prototypes, p=1.0)
