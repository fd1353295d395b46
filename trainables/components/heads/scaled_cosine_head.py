"""Cosine head with one learned scale."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.components.heads.cosine_head import CosineHead


class ScaledCosineHead(CosineHead):
    """z_k = s * w_k . f / (||w_k|| ||f||) with a learned scalar s.

    Source: Gidaris and Komodakis, 2018, the cosine classifier (s is their tau). Deviations: W is initialised as in
    `CosineHead` rather than from a normal distribution; the released code's single bias, shared by all classes, does
    not change the softmax and is omitted.

    Args:
        feature_dim: number of features d.
        num_classes: number of classes K.
        initial_scale: initial value of s, > 0 and finite.

    Attributes:
        weight: rows w_k, (K, d); their lengths do not affect the logits.
        scale: s, a scalar.

    Raises:
        ValueError: if ``initial_scale`` is not > 0 and finite.

    >>> head = ScaledCosineHead(3, 2, initial_scale=10.0)
    >>> torch.allclose(head(5 * head.weight).diagonal(), torch.full((2,), 10.0))
    True
    """

    def __init__(self, feature_dim: int, num_classes: int, initial_scale: float = 10.0) -> None:
        if not 0 < initial_scale < float("inf"):
            raise ValueError(f"`initial_scale` must be > 0 and finite, got {initial_scale}")
        super().__init__(feature_dim, num_classes)
        self.scale = nn.Parameter(torch.tensor(float(initial_scale)))

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, K), in [-s, s] up to rounding, of features (B, d)."""
        cosines = super().forward(features)
        return self.scale.to(cosines.dtype) * cosines
