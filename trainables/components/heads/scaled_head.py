"""Linear head with a learned scale per class."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.components.heads.linear_head import LinearHead


class ScaledHead(LinearHead):
    """z_k = s_k (w_k . f + b_k).

    s is initialised with 1, where the logits equal those of the linear head bit for bit.

    Source: Kang, Xie, Rohrbach, Yan, Gordo, Feng and Kalantidis, 2020, section 4 (LWS). The scale also multiplies the
    bias, as in the released code.

    Args:
        feature_dim: number of features d.
        num_classes: number of classes K.

    Attributes:
        scale: s, (K,).

    >>> head = ScaledHead(3, 2)
    >>> torch.equal(head(torch.ones(1, 3)), LinearHead.forward(head, torch.ones(1, 3)))
    True
    """

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__(feature_dim, num_classes)
        self.scale = nn.Parameter(torch.ones(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, K) of features (B, d)."""
        logits = super().forward(features)
        return logits * self.scale.to(logits.dtype)
