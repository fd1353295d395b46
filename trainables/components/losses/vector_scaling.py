"""Logit adjustment and vector scaling: cross entropy on logits with per-class offsets and scales."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted


def logit_adjusted_loss(logits: Tensor, labels: Tensor, *, class_counts: Tensor, tau: float) -> Tensor:
    """Return CE(z + tau * log prior) per example, with prior_k = n_k / sum n; predictions use z alone.

    Args:
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        class_counts: n, training images per class, shape (K,), each at least 1, on the device of the logits.
        tau: strength; 0 gives cross entropy, 1 gives balanced softmax.

    Returns:
        Shape (B,), nats, at least 0.

    Source: Menon, Jayasumana, Rawat, Jain, Veit and Kumar, 2021, eq 10.

    >>> logit_adjusted_loss(torch.zeros(1, 2), torch.tensor([1]), class_counts=torch.tensor([3, 1]), tau=1.0)
    tensor([1.3863])
    """
    z = promoted(logits)
    return cross_entropy(z + tau * _log_prior(class_counts, z.dtype), labels)


def vector_scaling_loss(logits: Tensor, labels: Tensor, *, class_counts: Tensor, gamma: float, tau: float) -> Tensor:
    """Return the VS loss CE(z / (n_max/n)^gamma + tau * log prior) per example.

    Args:
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        class_counts: n, training images per class, shape (K,), each at least 1, on the device of the logits.
        gamma: exponent of the multiplicative term Delta_k = (n_k/n_max)^gamma; 0 gives `logit_adjusted_loss`.
        tau: factor of the additive term iota_k = tau log prior_k.

    Returns:
        Shape (B,), nats, at least 0.

    Source: Kini, Paraskevas, Oymak and Thrampoulidis, 2021, the VS loss without the weights omega.

    >>> counts, y = torch.tensor([4, 1]), torch.tensor([1])
    >>> vector_scaling_loss(torch.tensor([[0.0, 2.0]]), y, class_counts=counts, gamma=0.5, tau=0.0)  # z_1 is halved
    tensor([0.3133])
    """
    z = promoted(logits)
    scales = (class_counts.to(z.dtype) / class_counts.max()) ** gamma
    return cross_entropy(scales * z + tau * _log_prior(class_counts, z.dtype), labels)


def _log_prior(class_counts: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.log(class_counts.to(dtype) / class_counts.sum())
