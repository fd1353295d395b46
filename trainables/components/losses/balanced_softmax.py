"""Balanced softmax: cross entropy on logits shifted by the log class counts."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted


def balanced_softmax_loss(logits: Tensor, labels: Tensor, *, class_counts: Tensor) -> Tensor:
    """Return CE(z + log n) per example.

    Training fits z + log n to the long-tailed distribution, so prediction with z alone assumes balanced classes.

    Args:
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        class_counts: n, training images per class, shape (K,), each at least 1, on the device of the logits.

    Returns:
        Shape (B,), nats, at least 0.

    Source: Ren, Yu, Sheng, Ma, Zhao, Yi and Li, 2020, theorem 1.

    >>> balanced_softmax_loss(torch.zeros(1, 2), torch.tensor([1]), class_counts=torch.tensor([3, 1]))
    tensor([1.3863])
    """
    z = promoted(logits)
    return cross_entropy(z + torch.log(class_counts.to(z.dtype)), labels)
