"""Linear head of softmax classifiers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainables.components.heads.head import Head, at_least_float32, without_autocast


class LinearHead(Head):
    """z_k = w_k . f + b_k.

    Weights are initialised from N(0, 2 / d), as in the released code of LDAM and M2m, and biases with zero.

    Args:
        feature_dim: number of features d.
        num_classes: number of classes K.
        bias: learn b; if False, the head has no bias.

    Attributes:
        weight: rows w_k, (K, d).
        bias: b, (K,), or None.

    >>> LinearHead(64, 10)(torch.zeros(2, 64)).shape
    torch.Size([2, 10])
    """

    def __init__(self, feature_dim: int, num_classes: int, bias: bool = True) -> None:
        super().__init__(feature_dim, num_classes)
        self.weight = nn.Parameter(torch.empty(num_classes, feature_dim))
        self.bias = nn.Parameter(torch.zeros(num_classes)) if bias else None
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, K) of features (B, d)."""
        with without_autocast(features):
            features = at_least_float32(features)
            bias = None if self.bias is None else self.bias.to(features.dtype)
            return F.linear(features, self.weight.to(features.dtype), bias)
