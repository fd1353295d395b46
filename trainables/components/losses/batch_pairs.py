"""Pairs within a batch: which share a class, and how far apart their features are."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.heads.distances import squared_distances


def same_class(labels: Tensor) -> Tensor:
    """Return a boolean matrix (B, B), true where two examples share a class, and on the diagonal.

    >>> same_class(torch.tensor([0, 1, 0]))[0]
    tensor([ True, False,  True])
    """
    return labels.unsqueeze(1) == labels


def each_once(pairs: Tensor) -> Tensor:
    """Keep of a symmetric boolean matrix (B, B) the pairs i < j, and none on the diagonal.

    >>> each_once(torch.ones(2, 2, dtype=torch.bool))
    tensor([[False,  True],
            [False, False]])
    """
    return pairs.triu(diagonal=1)


def pairwise_squares(features: Tensor) -> Tensor:
    """Return ||f_i - f_j||^2, (B, B), of features (B, d) in float32 or float64.

    >>> pairwise_squares(torch.tensor([[0.0], [3.0]]))[0, 1]
    tensor(9.)
    """
    # distances know no origin, but the rounding of their expanded form grows with the distance from it
    centred = features - features.detach().mean(dim=0)
    return squared_distances(centred, centred)


def pairwise_distances(features: Tensor) -> Tensor:
    """Return ||f_i - f_j||, (B, B), of features (B, d), with zero gradient where two coincide.

    >>> pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))[0, 1]
    tensor(5.)
    """
    squares = pairwise_squares(features)
    apart = squares > 0
    return torch.where(apart, torch.where(apart, squares, 1).sqrt(), 0)
