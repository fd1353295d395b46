"""The hinge of the affinity loss on Gaussian similarities."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import promoted, target_mask


def affinity_margin_loss(
    log_affinities: Tensor, labels: Tensor, *, margin: float, average_over_classes: bool = False
) -> Tensor:
    """Return L_mm = sum_{j != y} max(0, lambda + d_j - d_y) of every example.

    The similarities come as logarithms, since d itself underflows where argmax is still defined. The
    regulariser R of eq 10 belongs to the head and is not in here.

    Args:
        log_affinities: log d, shape (B, K), at most 0 where d is a similarity in [0, 1].
        labels: y, int64, shape (B,).
        margin: lambda, at least 0.
        average_over_classes: divide the sum by K-1, so that its size does not grow with the classes.

    Returns:
        Shape (B,), in units of the similarity (a hinge is no likelihood), in [0, (K-1)(1 + lambda)].

    Raises:
        ValueError: a negative margin.

    Source: Hayat, Khan, Zamir, Shen and Shao, 2019, eq 6.

    >>> log_d = torch.log(torch.tensor([[1.0, 0.5, 0.1]]))
    >>> affinity_margin_loss(log_d, torch.tensor([0]), margin=0.75)
    tensor([0.2500])
    """
    if not margin >= 0:
        raise ValueError(f"`margin` must be >= 0, got {margin}")
    affinities = promoted(log_affinities).exp()
    own = affinities.gather(1, labels.unsqueeze(1))
    violations = torch.relu(margin + affinities - own)
    wrong_only = violations.masked_fill(target_mask(labels, affinities.shape[1]), 0.0)
    total = wrong_only.sum(dim=1)
    return total / (affinities.shape[1] - 1) if average_over_classes else total
