"""Class centres, updated towards the features of each batch by the rule of the center loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.components.losses.cross_entropy import target_mask


class ClassCenters(nn.Module):
    """A centre c_j per class for losses on features, stored outside the head.

    Args:
        feature_dim: number of features d.
        num_classes: number of classes K.

    Attributes:
        centers: c, (K, d), initialised with zero; a buffer without gradient.

    >>> ClassCenters(2, 3).centers.shape
    torch.Size([3, 2])
    """

    centers: Tensor

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("centers", torch.zeros(num_classes, feature_dim))


@torch.no_grad()
def follow_features(centers: Tensor, features: Tensor, labels: Tensor, *, rate: float) -> None:
    """Update the centres in place: c_j -= alpha sum_{y_i = j} (c_j - f_i) / (1 + n_j).

    n_j is the number of images of class j in the batch; centres of absent classes do not change. The sums are computed
    as matrix products because the order of scattered additions is not deterministic on a GPU.

    Args:
        centers: c, (K, d), float32 or float64.
        features: f, (B, d).
        labels: y, int64, (B,), in 0..K-1.
        rate: alpha, in (0, 1].

    Source: Wen, Zhang, Li and Qiao, 2016, eq 4 and algorithm 1.

    >>> centers = torch.zeros(2, 1)
    >>> follow_features(centers, torch.tensor([[3.0], [6.0]]), torch.tensor([0, 0]), rate=0.5)
    >>> centers
    tensor([[1.5000],
            [0.0000]])
    """
    own = target_mask(labels, len(centers)).to(centers.dtype)
    counts = own.sum(dim=0).unsqueeze(1)
    centers -= rate * (counts * centers - own.T @ features.to(centers.dtype)) / (1 + counts)
