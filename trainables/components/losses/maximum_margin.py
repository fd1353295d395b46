"""Maximum margin loss (MM): a margin on the target's cosine that decreases with the example's cosine gap."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted, target_mask


def maximum_margins(cosines: Tensor, labels: Tensor, *, limits: Tensor, gamma: float) -> Tensor:
    """Return the margin per example: exp(-gap - g m_y) where gap > 0, exp(-|gap| - m_y) elsewhere.

    gap = z_y - max_{j != y} z_j, so the margin is largest at the decision boundary. For g > 1, correctly classified
    examples have a smaller margin than misclassified ones at the same |gap|.

    Args:
        cosines: z, shape (B, K), raw cosines in [-1, 1], K at least 2.
        labels: y, int64, shape (B,).
        limits: m, shape (K,), on the device of the cosines.
        gamma: g.

    Returns:
        Shape (B,), in units of the cosine, in [0, exp(-min(m, g m))], detached.

    Source: Kang, Vu and Yoo, 2021, and their released code. Deviations: the gap uses each example's own label (the
    code uses the batch's first label throughout); the largest wrong cosine may be negative (the code sets the target's
    cosine to 0 before the maximum); a gap of exactly 0 has the margin of the limit from below (the code has none).

    >>> maximum_margins(torch.tensor([[0.5, 0.5]]), torch.tensor([0]), limits=torch.zeros(2), gamma=2.0)
    tensor([1.])
    """
    with torch.no_grad():
        z = promoted(cosines)
        own = z.gather(1, labels.unsqueeze(1)).squeeze(1)
        gap = own - z.masked_fill(target_mask(labels, z.shape[1]), -torch.inf).amax(dim=1)
        limit = limits.to(z.dtype)[labels]
        return torch.exp(-gap.abs() - torch.where(gap > 0, gamma * limit, limit))


def maximum_margin_loss(cosines: Tensor, labels: Tensor, *, limits: Tensor, gamma: float, scale: float) -> Tensor:
    """Return CE(s * (z - margin * onehot_y)) per example, with the detached margin of `maximum_margins`.

    Args:
        cosines: z, shape (B, K), raw cosines in [-1, 1], K at least 2.
        labels: y, int64, shape (B,).
        limits: m, shape (K,): M for every class (MM), or M - D_k with the LDAM margins D (MM-LDAM).
        gamma: g.
        scale: s.

    Returns:
        Shape (B,), nats, at least 0.

    Source: Kang, Vu and Yoo, 2021.

    >>> z, y = torch.tensor([[0.5, 0.5]]), torch.tensor([0])
    >>> maximum_margin_loss(z, y, limits=torch.zeros(2), gamma=2.0, scale=1.0)  # log(1 + e)
    tensor([1.3133])
    """
    z = promoted(cosines)
    margin = maximum_margins(cosines, labels, limits=limits, gamma=gamma).unsqueeze(1)
    return cross_entropy(scale * torch.where(target_mask(labels, z.shape[1]), z - margin, z), labels)
