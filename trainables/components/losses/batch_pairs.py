"""Pairs of examples within a batch: class equality and feature distances."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.heads.distances import squared_distances


def same_class(labels: Tensor) -> Tensor:
    """Return a boolean matrix (B, B), true where two examples share a class; the diagonal is true.

    >>> same_class(torch.tensor([0, 1, 0]))[0]
    tensor([ True, False,  True])
    """
    return labels.unsqueeze(1) == labels


def each_once(pairs: Tensor) -> Tensor:
    """Return the strict upper triangle of a symmetric boolean matrix (B, B), so that each pair counts once.

    >>> each_once(torch.ones(2, 2, dtype=torch.bool))
    tensor([[False,  True],
            [False, False]])
    """
    return pairs.triu(diagonal=1)


def pairwise_squares(features: Tensor) -> Tensor:
    """Return the squared distances ||f_i - f_j||^2, shape (B, B), of float32 or float64 features (B, d).

    >>> pairwise_squares(torch.tensor([[0.0], [3.0]]))[0, 1]
    tensor(9.)
    """
    # distances are invariant to translation, but the rounding error of the expanded form grows with ||f||
    centred = features - features.detach().mean(dim=0)
    return squared_distances(centred, centred)


def pairwise_distances(features: Tensor) -> Tensor:
    """Return the distances ||f_i - f_j||, shape (B, B), of features (B, d); the gradient is 0 where two coincide.

    >>> pairwise_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))[0, 1]
    tensor(5.)
    """
    squares = pairwise_squares(features)
    apart = squares > 0
    return torch.where(apart, torch.where(apart, squares, 1).sqrt(), 0)
