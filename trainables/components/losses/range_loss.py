"""Range loss: minimise the largest distances within classes, maximise the smallest distance between class means."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.heads.distances import squared_distances
from trainables.components.losses.batch_pairs import each_once, pairwise_squares, same_class
from trainables.components.losses.cross_entropy import promoted

_NARROWEST = 1e-12
"""Lower bound of a squared distance, since the harmonic mean divides by it."""


def range_loss(
    features: Tensor, labels: Tensor, *, margin: float, intra_weight: float, inter_weight: float, largest: int = 2
) -> Tensor:
    """Return the batch loss alpha L_intra + beta L_inter, repeated for every example.

    Args:
        features: f, shape (B, d).
        labels: y, int64, shape (B,).
        margin: m, margin of the squared distance between class means, at least 0.
        intra_weight: alpha, at least 0.
        inter_weight: beta, at least 0.
        largest: k, number of largest distances per class, at least 1.

    Returns:
        Shape (B,), in squared units of the features, at least 0; its mean is the published loss.

    Source: Zhang, Fang, Wen, Li and Qiao, 2017; distances are squared, as in the paper.

    >>> f, y = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
    >>> range_loss(f, y, margin=10.0, intra_weight=1.0, inter_weight=1.0)  # 1^2 + (10 - 2.5^2)
    tensor([4.7500, 4.7500, 4.7500])
    """
    f = promoted(features)
    within, between = intra_class_ranges(f, labels, largest), inter_class_hinge(f, labels, margin)
    return (intra_weight * within + inter_weight * between).expand(len(labels))


def intra_class_ranges(features: Tensor, labels: Tensor, largest: int = 2) -> Tensor:
    """Return L_intra, a scalar: the harmonic mean of each class's k largest squared distances, summed over classes.

    A class with fewer than k pairs in the batch uses the pairs it has; a class with one image contributes 0. The
    paper's batches hold several images of every class, which long-tailed batches do not.

    >>> intra_class_ranges(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0, 0, 0]))  # 2 / (1/4 + 1/1)
    tensor(1.6000)
    """
    same, k = same_class(labels), min(largest, len(labels))
    ranges = pairwise_squares(features).masked_fill(~each_once(same), -torch.inf)
    of_row = ranges.topk(k, dim=1).values  # the k largest of a class are among the k largest of its rows
    of_class = torch.where(same.unsqueeze(2), of_row, -torch.inf).flatten(1).topk(k, dim=1).values
    exists = of_class > -torch.inf
    inverses = torch.where(exists, 1 / torch.where(exists, of_class, 1).clamp_min(_NARROWEST), 0).sum(dim=1)
    harmonic = exists.sum(dim=1) / torch.where(exists[:, 0], inverses, 1)
    return (harmonic / same.sum(dim=1)).sum()  # divided by class size, so that each class counts once


def inter_class_hinge(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return L_inter = max(0, m - min_{a != b} ||mean_a - mean_b||^2), a scalar; 0 for a batch of one class.

    >>> inter_class_hinge(torch.tensor([[0.0], [3.0]]), torch.tensor([0, 1]), margin=10.0)
    tensor(1.)
    """
    same = same_class(labels)
    means = same.to(features.dtype) @ features / same.sum(dim=1, keepdim=True)
    centred = means - means.detach().mean(dim=0)
    return torch.relu(margin - squared_distances(centred, centred).masked_fill(same, torch.inf).amin())
