"""Range loss: classes as narrow as their widest pairs, and the two nearest of them apart."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.heads.distances import squared_distances
from trainables.components.losses.batch_pairs import each_once, pairwise_squares, same_class
from trainables.components.losses.cross_entropy import promoted

_NARROWEST = 1e-12
"""Ranges below this count as this: the harmonic mean divides by them."""


def range_loss(
    features: Tensor, labels: Tensor, *, margin: float, intra_weight: float, inter_weight: float, largest: int = 2
) -> Tensor:
    """Return alpha L_intra + beta L_inter of the batch, the same for every example.

    Args:
        features: f, shape (B, d).
        labels: y, int64, shape (B,).
        margin: m, of squared distances between class centres, at least 0.
        intra_weight: alpha, at least 0.
        inter_weight: beta, at least 0.
        largest: k, how many of the largest ranges of a class count, at least 1.

    Returns:
        Shape (B,), in squared units of the features, at least 0; its mean is the published value.

    Source: Zhang, Fang, Wen, Li and Qiao, 2017; their ranges and centre distances are squared lengths.

    >>> f, y = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
    >>> range_loss(f, y, margin=10.0, intra_weight=1.0, inter_weight=1.0)  # 1^2 + (10 - 2.5^2)
    tensor([4.7500, 4.7500, 4.7500])
    """
    f = promoted(features)
    within, between = intra_class_ranges(f, labels, largest), inter_class_hinge(f, labels, margin)
    return (intra_weight * within + inter_weight * between).expand(len(labels))


def intra_class_ranges(features: Tensor, labels: Tensor, largest: int = 2) -> Tensor:
    """Return sum over the batch's classes of the harmonic mean of their k largest squared distances, a scalar.

    A class with fewer than k pairs in the batch takes the mean over those it has, and one with a single image
    adds nothing: the paper's batches have several images of every class, long-tailed ones do not.

    >>> intra_class_ranges(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([0, 0, 0]))  # 2 / (1/4 + 1/1)
    tensor(1.6000)
    """
    same, k = same_class(labels), min(largest, len(labels))
    ranges = pairwise_squares(features).masked_fill(~each_once(same), -torch.inf)
    of_row = ranges.topk(k, dim=1).values  # the largest of a class are among the largest of its rows
    of_class = torch.where(same.unsqueeze(2), of_row, -torch.inf).flatten(1).topk(k, dim=1).values
    exists = of_class > -torch.inf
    inverses = torch.where(exists, 1 / torch.where(exists, of_class, 1).clamp_min(_NARROWEST), 0).sum(dim=1)
    harmonic = exists.sum(dim=1) / torch.where(exists[:, 0], inverses, 1)
    return (harmonic / same.sum(dim=1)).sum()  # every class once: its images share it


def inter_class_hinge(features: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return max(0, m - min ||mean_a - mean_b||^2) over the batch's classes, a scalar; 0 for a single class.

    >>> inter_class_hinge(torch.tensor([[0.0], [3.0]]), torch.tensor([0, 1]), margin=10.0)
    tensor(1.)
    """
    same = same_class(labels)
    means = same.to(features.dtype) @ features / same.sum(dim=1, keepdim=True)
    centred = means - means.detach().mean(dim=0)
    return torch.relu(margin - squared_distances(centred, centred).masked_fill(same, torch.inf).amin())
