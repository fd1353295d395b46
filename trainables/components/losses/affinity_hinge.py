"""Max-margin hinge of the affinity loss, on similarities to class prototypes."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import promoted, target_mask


def affinity_margin_loss(
    log_affinities: Tensor, labels: Tensor, *, margin: float, average_over_classes: bool = False
) -> Tensor:
    """Return the hinge L_mm = sum_{j != y} max(0, lambda + d_j - d_y) per example.

    Similarities are passed as logarithms because d underflows where the argmax is still defined. The regulariser R of
    eq 10 is the head's penalty (`PrototypeHead.penalty`).

    Args:
        log_affinities: log d, shape (B, K), at most 0 for similarities d in [0, 1].
        labels: y, int64, shape (B,).
        margin: lambda, at least 0.
        average_over_classes: divide the sum by K-1, so that the loss does not grow with the number of classes.

    Returns:
        Shape (B,), in units of the similarity rather than nats, in [0, (K-1)(1 + lambda)].

    Raises:
        ValueError: if ``margin`` is negative.

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
