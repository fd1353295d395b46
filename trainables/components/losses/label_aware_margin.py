"""Label-distribution-aware margin losses on cosines: LDAM and enlarged large margin (ELM)."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted, target_mask


def class_margins(class_counts: Tensor, max_margin: float) -> Tensor:
    """Return the margins D_j = M * n_j^(-1/4) / max_k n_k^(-1/4); the rarest class has margin M.

    Args:
        class_counts: n, training images per class, shape (K,), each at least 1.
        max_margin: M, in units of the cosine, at least 0.

    Returns:
        D, float64, shape (K,), each in [0, M].

    Raises:
        ValueError: if a class has no training images or ``max_margin`` is negative.

    Source: Cao, Wei, Gaidon, Arechiga and Ma, 2019, with the normalisation of their released code; Kato and Hotta,
    2023, below eq 5.

    >>> class_margins(torch.tensor([160000, 10000, 16]), 0.5)
    tensor([0.0500, 0.1000, 0.5000], dtype=torch.float64)
    """
    if not max_margin >= 0:
        raise ValueError(f"`max_margin` must be >= 0, got {max_margin}")
    counts = class_counts.double()
    if not bool((counts > 0).all()):
        raise ValueError(f"`class_counts` must be at least 1 in every class, got {class_counts.tolist()}")
    return max_margin * (counts / counts.min()) ** -0.25


def ldam_loss(cosines: Tensor, labels: Tensor, *, margins: Tensor, scale: float) -> Tensor:
    """Return the LDAM loss CE(s * (z - D_y * onehot_y)) per example, which is ELM with lam=0.

    Args:
        cosines: z, shape (B, K), raw cosines in [-1, 1].
        labels: y, int64, shape (B,).
        margins: D from `class_margins`, shape (K,), on the device of the cosines.
        scale: s.

    Returns:
        Shape (B,), nats, at least 0.

    Source: Cao et al., 2019, with s applied to every cosine as in their released code; Kato and Hotta, 2023, eq 5
    (their eq 4 omits s in the denominator and is not followed).

    >>> ldam_loss(torch.zeros(1, 2), torch.tensor([0]), margins=torch.tensor([0.5, 0.1]), scale=2.0)
    tensor([1.3133])
    """
    return enlarged_margin_loss(cosines, labels, margins=margins, scale=scale, lam=0.0)


def enlarged_margin_loss(
    cosines: Tensor, labels: Tensor, *, margins: Tensor, scale: float, lam: float, own_margin: bool = True
) -> Tensor:
    """Return the ELM loss CE(s * (z - (D_y - lam * D_c*) * onehot_y)), c* being the wrong class of largest cosine.

    The sign follows the equations: a positive lam D_c* is added to the target's cosine (with equal counts, lam=1 gives
    CE(s*z)). No gradient flows through the choice of c*; ties are broken arbitrarily.

    Args:
        cosines: z, shape (B, K), raw cosines in [-1, 1], K at least 2.
        labels: y, int64, shape (B,).
        margins: D from `class_margins`, shape (K,), on the device of the cosines.
        scale: s.
        lam: lambda; 0 gives LDAM.
        own_margin: subtract D_y; if False, only lam * D_c* is added.

    Returns:
        Shape (B,), nats, at least 0.

    Source: Kato and Hotta, 2023, eq 6, and the rows "ELM w/o D_y" of table I (their eq 7 omits s in the denominator
    and is not followed).

    >>> D = torch.tensor([0.5, 0.1])
    >>> enlarged_margin_loss(torch.zeros(1, 2), torch.tensor([0]), margins=D, scale=2.0, lam=1.0)
    tensor([1.1711])
    """
    z = promoted(cosines)
    is_target = target_mask(labels, z.shape[1])
    shift = -_target_margin(z.detach(), labels, margins.to(z.dtype), is_target, lam, own_margin)
    return cross_entropy(scale * torch.where(is_target, z + shift.unsqueeze(1), z), labels)


def _target_margin(
    z: Tensor, labels: Tensor, margins: Tensor, is_target: Tensor, lam: float, own_margin: bool
) -> Tensor:
    own = margins[labels] if own_margin else torch.zeros_like(margins)[labels]
    if lam == 0:
        return own
    rival = z.masked_fill(is_target, -torch.inf).argmax(dim=1)
    return own - lam * margins[rival]
