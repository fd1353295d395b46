"""Head of the estimated-offset method: a linear head whose offsets are computed from class centres."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.components.heads.head import Head, at_least_float32, without_autocast


class OffsetHead(Head):
    """z_k = w_k . f - w0_k with offsets w0_k = c_k . w_k / 2, and a penalty that drives w0 to be uniform.

    Source: Kim, Hong and Kim, 2021, "De-biasing neural networks with estimated offset for class imbalanced
    learning", eqs 5 and 6. The centres are buffers and receive no gradient.

    Args:
        feature_dim: number of features d.
        num_classes: number of classes K.
        constraint_weight: lambda_2, at least 0: factor of the uniform constraint in `penalty`.
        in_logits: subtract w0 from the logits; if False, the head is linear without bias.

    Attributes:
        weight: rows w_k, (K, d), initialised from N(0, 2 / d) like those of `LinearHead`.
        centers: c, (K, d), initialised with zero.
        constrains: 1, or 0 while the penalty is disabled during warm-up.

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
        """Return the logits (B, K) of features (B, d)."""
        with without_autocast(features):
            features = at_least_float32(features)
            weight = self.weight.to(features.dtype)
            offsets = half_products(self.centers.to(features.dtype), weight) if self.in_logits else None
            return F.linear(features, weight, None if offsets is None else -offsets)

    def penalty(self) -> Tensor | None:
        """Return lambda_2 L_uniform(w0), a scalar (eq 5), or None if lambda_2 is 0."""
        if self.constraint_weight == 0:
            return None
        with without_autocast(self.weight):
            offsets = half_products(self.centers, at_least_float32(self.weight))
            return self.constraint_weight * self.constrains * uniform_constraint(offsets)


def half_products(centers: Tensor, weight: Tensor) -> Tensor:
    """Return the offsets w0_k = c_k . w_k / 2, shape (K,), for centres (K, d) and weight rows (K, d).

    >>> half_products(torch.tensor([[2.0, 4.0]]), torch.tensor([[1.0, 1.0]]))
    tensor([3.])
    """
    return (centers * weight).sum(dim=1) / 2


def uniform_constraint(offsets: Tensor) -> Tensor:
    """Return L_uniform = -H(softmax(-w0)), a scalar in [-log K, 0] with its minimum at equal offsets.

    Args:
        offsets: w0, shape (K,), float32 or float64.

    Source: Kim, Hong and Kim, 2021, eq 5.

    >>> uniform_constraint(torch.ones(4))  # -log 4
    tensor(-1.3863)
    """
    logs = F.log_softmax(-offsets, dim=0)
    return (logs.exp() * logs).sum()
