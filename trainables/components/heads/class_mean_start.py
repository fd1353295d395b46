"""Start of a cosine head from class means: row k points where the mean feature of class k does."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.heads.cosine_head import NO_DIRECTION, CosineHead, unit_rows


@torch.no_grad()
def start_from_class_means(head: CosineHead, means: Tensor) -> None:
    """Set the rows of a cosine head to the class means, each scaled to length 1, in place.

    A class whose mean has no direction, as that of features that are all zero, keeps its row.

    Source: Shi et al., 2024, LIFT, section 4.3, the initialisation of classifiers without text features.

    Args:
        head: a head whose logits are cosines.
        means: the mean feature of every class, (K, d).

    >>> head = CosineHead(2, 2)
    >>> start_from_class_means(head, torch.tensor([[3.0, 4.0], [0.0, 2.0]]))
    >>> head.weight.tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 1.0]]
    """
    directed = torch.linalg.vector_norm(means, dim=1, keepdim=True) > NO_DIRECTION
    head.weight.copy_(torch.where(directed, unit_rows(means), head.weight))
