"""Complement cross entropy (CCE): cross entropy plus an entropy term over the wrong classes."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted
from trainables.components.variants import ComplementVariant


def wrong_log_softmax(logits: Tensor, labels: Tensor) -> Tensor:
    """Return log q, shape (B, K-1): the log-softmax over each example's K-1 wrong classes, in class order.

    >>> wrong_log_softmax(torch.tensor([[9.0, 1.0, 1.0]]), torch.tensor([0])).exp()
    tensor([[0.5000, 0.5000]])
    """
    wrong = torch.arange(logits.shape[1] - 1, device=logits.device)
    columns = wrong + (wrong >= labels.unsqueeze(1)).long()
    return promoted(logits).gather(1, columns).log_softmax(dim=1)


def complement_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return C, the Shannon entropy of the softmax over the K-1 wrong classes, per example.

    C = -sum_{j != y} q_j log q_j with q_j = p_j / (1 - p_y) (eq 2, one example). q is computed as the softmax of the
    wrong logits, so the case 1 - p_y = 0 needs no special treatment.

    Args:
        logits: z, shape (B, K), K at least 2.
        labels: y, int64, shape (B,).

    Returns:
        Shape (B,), nats, in [0, log(K-1)]; 0 for K=2. Its gradient with respect to z_y is 0.

    Source: Kim, Lee and Jeon, 2021, eq 2.

    >>> complement_entropy(torch.tensor([[9.0, 1.0, 1.0]]), torch.tensor([0]))
    tensor([0.6931])
    """
    log_q = wrong_log_softmax(logits, labels)
    # torch.special.entr has an infinite gradient where q underflows to 0
    return (log_q.exp() * log_q).sum(dim=1).neg()


def complement_cross_entropy(logits: Tensor, labels: Tensor, *, gamma: float, variant: ComplementVariant) -> Tensor:
    """Return CE + gamma/(K-1) * C (``paper``) or CE - gamma/K * C (``official``, the released code) per example.

    At gamma=-1 ``official`` *adds* C/K, so it sharpens the distribution over the wrong classes where the paper
    flattens it. The released code's ``balancing_factor`` is -gamma. Its constants 1e-7 and 1e-10 guard log(0); they
    are omitted because nothing here divides by 1 - p_y.

    Args:
        logits: z, shape (B, K), K at least 2.
        labels: y, int64, shape (B,).
        gamma: modulating factor, at most 0; 0 gives cross entropy.
        variant: ``paper`` or ``official``.

    Returns:
        Shape (B,), nats; may be negative with ``paper``.

    Raises:
        ValueError: if ``gamma`` is above 0 or ``variant`` is unknown.

    Source: Kim, Lee and Jeon, 2021, eqs 4 and 5; the authors' released class CCE.

    >>> z, y = torch.zeros(1, 3), torch.tensor([0])
    >>> complement_cross_entropy(z, y, gamma=-1.0, variant="paper")  # log 3 - log(2)/2
    tensor([0.7520])
    """
    if not gamma <= 0:
        raise ValueError(f"`gamma` must be <= 0, got {gamma}")
    classes = logits.shape[1]
    if variant == "paper":
        weight = gamma / (classes - 1)
    elif variant == "official":
        weight = -gamma / classes
    else:
        raise ValueError(f"`variant` must be 'paper' or 'official', got {variant!r}")
    return cross_entropy(logits, labels) + weight * complement_entropy(logits, labels)
