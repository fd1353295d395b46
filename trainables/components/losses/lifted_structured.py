"""Lifted structured loss: each positive pair against all negatives of both its examples."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.batch_pairs import each_once, pairwise_distances, same_class
from trainables.components.losses.cross_entropy import promoted


def lifted_structured_loss(features: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Return the batch loss sum_{(i,j) in P} max(0, J_ij)^2 / (2 |P|), repeated for every example.

    J_ij = log( sum_k exp(alpha - D_ik) + sum_l exp(alpha - D_jl) ) + D_ij, where D is the Euclidean distance, P the
    set of positive pairs (same class), and k and l run over the negatives of i and j. The loss is 0 for a batch without
    positive pairs or with a single class.

    Args:
        features: f, shape (B, d).
        labels: y, int64, shape (B,).
        margin: alpha.

    Returns:
        Shape (B,), in squared units of the features, at least 0; its mean is the published loss.

    Source: Song, Xiang, Jegelka and Savarese, 2016, eq 4.

    >>> f, y = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
    >>> lifted_structured_loss(f, y, margin=1.0)  # (log(exp(-2) + exp(-1)) + 1)^2 / 2
    tensor([0.0491, 0.0491, 0.0491])
    """
    distances, same = pairwise_distances(promoted(features)), same_class(labels)
    # a finite minimum instead of -inf: in a batch with a single class, -inf would make the gradient NaN
    lowest = torch.finfo(distances.dtype).min
    push = (margin - distances).masked_fill(same, lowest).logsumexp(dim=1)
    hinges = torch.relu(torch.logaddexp(push.unsqueeze(1), push) + distances)
    pairs = each_once(same)
    total = torch.where(pairs, hinges.square(), 0).sum()
    return (total / (2 * pairs.sum().clamp_min(1))).expand(len(labels))
