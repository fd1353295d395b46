"""Cosine head of the margin losses: cosines between features and class weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.components.heads.head import Head, at_least_float32, without_autocast

NO_DIRECTION = 1e-6
"""Rows shorter than this normalise to zero and get no gradient, since their direction is undefined."""


class CosineHead(Head):
    """z_k = w_k . f / (||w_k|| ||f||), cosines without scale and bias.

    Source: Cao et al. 2019 (LDAM), the released ``NormedLinear`` with transposed W: entries drawn uniformly from
    [-1, 1], then each row scaled to length 1. Deviation: zero features give zero cosines with zero gradient; the
    released code divides by a small constant there, which produces gradients of 1e12.

    Args:
        feature_dim: number of features d.
        num_classes: number of classes K.

    Attributes:
        weight: rows w_k, (K, d); their lengths do not affect the logits.

    >>> head = CosineHead(3, 2)
    >>> torch.allclose(head(5 * head.weight).diagonal(), torch.ones(2))
    True
    """

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__(feature_dim, num_classes)
        self.weight = nn.Parameter(unit_rows(torch.empty(num_classes, feature_dim).uniform_(-1, 1)))

    def forward(self, features: Tensor) -> Tensor:
        """Return cosines (B, K), in [-1, 1] up to rounding, of features (B, d)."""
        with without_autocast(features):
            features = at_least_float32(features)
            return F.linear(unit_rows(features), unit_rows(self.weight.to(features.dtype)))


def unit_rows(rows: Tensor) -> Tensor:
    """Scale each row of (N, d) to length 1; rows shorter than `NO_DIRECTION` become zero, with zero gradient.

    >>> unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    directed = lengths > NO_DIRECTION
    return torch.where(directed, rows, 0) / torch.where(directed, lengths, 1)
