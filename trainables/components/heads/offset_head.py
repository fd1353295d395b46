"""The head of the estimated offset: a linear head that takes half the class's centre off every feature."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.components.heads.head import Head, at_least_float32, without_autocast


class OffsetHead(Head):
    """z_k = w_k . f - w0_k with w0_k = c_k . w_k / 2, and a penalty that makes w0 uniform.

    Source: Kim, Hong and Kim, 2021, "De-biasing neural networks with estimated offset for class imbalanced
    learning", eqs 5 and 6. The centres are buffers: neither logits nor penalty send a gradient into them.

    Args:
        feature_dim: number of features d.
        num_classes: number of classes K.
        constraint_weight: lambda_2, at least 0: factor of the uniform constraint in `penalty`.
        in_logits: whether w0 is taken off the logits; if not, they are those of a linear head without bias.

    Attributes:
        weight: rows w_k, (K, d), drawn from N(0, 2 / d) as those of `LinearHead`.
        centers: c, (K, d), zero at first.
        constrains: 1, or 0 while the penalty is switched off, in a warm-up.

    >>> head = OffsetHead(3, 2)
    >>> head.centers.copy_(2 * head.weight.detach())
    tensor(...)
    >>> bool((head(head.weight).diagonal().abs() < 1e-6).all())  # half-way to its own centre
    True
    """

    centers: Tensor
    constrains: Tensor

    def __init__(
        self, feature_dim: int, num_classes: int, constraint_weight: float = 1.0, in_logits: bool = True
    ) -> None:
        super().__init__(feature_dim, num_classes)
        self.constraint_weight, self.in_logits = constraint_weight, in_logits
        self.weight = nn.Parameter(torch.empty(num_classes, feature_dim))
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        self.register_buffer("centers", torch.zeros(num_classes, feature_dim))
        self.register_buffer("constrains", torch.ones(()))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, K) of features (B, d)."""
        with without_autocast(features):
            features = at_least_float32(features)
            weight = self.weight.to(features.dtype)
            offsets = half_products(self.centers.to(features.dtype), weight) if self.in_logits else None
            return F.linear(features, weight, None if offsets is None else -offsets)

    def penalty(self) -> Tensor | None:
        """Return lambda_2 L_uniform(w0), a scalar (eq 5); None where lambda_2 is 0."""
        if self.constraint_weight == 0:
            return None
        with without_autocast(self.weight):
            offsets = half_products(self.centers, at_least_float32(self.weight))
            return self.constraint_weight * self.constrains * uniform_constraint(offsets)


def half_products(centers: Tensor, weight: Tensor) -> Tensor:
    """Return w0_k = c_k . w_k / 2, (K,), of centres (K, d) and rows of weights (K, d).

    >>> half_products(torch.tensor([[2.0, 4.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([3.])
    """
    return (centers * weight).sum(dim=1) / 2


def uniform_constraint(offsets: Tensor) -> Tensor:
    """Return L_uniform = -H(softmax(-w0)), a scalar in [-log K, 0], least where all offsets are equal.

    Args:
        offsets: w0, shape (K,), float32 or float64.

    Source: Kim, Hong and Kim, 2021, eq 5.

    >>> uniform_constraint(torch.ones(4))  # -log 4
    tensor(-1.3863)
    """
    logs = F.log_softmax(-offsets, dim=0)
    return (logs.exp() * logs).sum()
