"""Lifted structured loss: every pair of a class against all that is near either of the two."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.batch_pairs import each_once, pairwise_distances, same_class
from trainables.components.losses.cross_entropy import promoted


def lifted_structured_loss(features: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Return sum over pairs of max(0, J_ij)^2 / (2 |P|) of the batch, the same for every example.

    J_ij = log( sum_k exp(alpha - D_ik) + sum_l exp(alpha - D_jl) ) + D_ij, with D the Euclidean distance, (i, j)
    in P two images of one class, and k, l those of other classes. A batch without pairs, or of one class, gives 0.

    Args:
        features: f, shape (B, d).
        labels: y, int64, shape (B,).
        margin: alpha.

    Returns:
        Shape (B,), in squared units of the features, at least 0; its mean is the published value.

    Source: Song, Xiang, Jegelka and Savarese, 2016, eq 4.

    >>> f, y = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
    >>> lifted_structured_loss(f, y, margin=1.0)  # (log(exp(-2) + exp(-1)) + 1)^2 / 2
    tensor([0.0491, 0.0491, 0.0491])
    """
    distances, same = pairwise_distances(promoted(features)), same_class(labels)
    # a finite number in place of -inf: a batch of one class has nothing to push away, and no NaN in its gradient
    lowest = torch.finfo(distances.dtype).min
    push = (margin - distances).masked_fill(same, lowest).logsumexp(dim=1)
    hinges = torch.relu(torch.logaddexp(push.unsqueeze(1), push) + distances)
    pairs = each_once(same)
    total = torch.where(pairs, hinges.square(), 0).sum()
    return (total / (2 * pairs.sum().clamp_min(1))).expand(len(labels))
