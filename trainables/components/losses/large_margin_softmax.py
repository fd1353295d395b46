"""Large margin in softmax cross entropy (LMSCE): a regulariser that equalises the wrong logits."""

from __future__ import annotations

from torch import Tensor

from trainables.components.losses.complement_entropy import wrong_log_softmax
from trainables.components.losses.cross_entropy import cross_entropy


def large_margin_cross_entropy(logits: Tensor, labels: Tensor, *, lam: float) -> Tensor:
    """Return CE + lambda/2 * sum_{c != y} (q_c - 1/(K-1)) log q_c, where q is the softmax over the wrong classes.

    The sum is the symmetric divergence between q and the uniform distribution. It is 0 if all wrong logits are equal
    and positive otherwise.

    Args:
        logits: z, shape (B, K), K at least 2.
        labels: y, int64, shape (B,).
        lam: lambda, at least 0; 0 gives cross entropy.

    Returns:
        Shape (B,), nats, at least CE; equal to CE for K=2.

    Raises:
        ValueError: if ``lam`` is negative.

    Source: Kobayashi, 2019, cross entropy with the large-margin regulariser.

    >>> import torch
    >>> z, y = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([0])
    >>> large_margin_cross_entropy(z, y, lam=0.0), large_margin_cross_entropy(z, y, lam=1.0)
    (tensor([1.5514]), tensor([1.6670]))
    """
    if not lam >= 0:
        raise ValueError(f"`lam` must be >= 0, got {lam}")
    log_q = wrong_log_softmax(logits, labels)
    divergence = ((log_q.exp() - 1 / log_q.shape[1]) * log_q).sum(dim=1)
    return cross_entropy(logits, labels) + lam / 2 * divergence
