"""Influence-balanced loss (IB): examples with a large influence on the decision boundary are down-weighted."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted

EPSILON = 1e-3
"""Constant of the released code that keeps the factor finite for examples without influence."""


def influence_balanced_loss(
    features: Tensor,
    logits: Tensor,
    labels: Tensor,
    *,
    alpha: float,
    gamma: float = 0.0,
    detach: bool = True,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Return (1 - p_y)^gamma * CE * alpha / (||p - onehot_y||_1 * ||h||_1 + 1e-3): IB, or IB-focal for gamma > 0.

    The divisor is the L1 norm of the gradient of CE with respect to the weights of a linear head. The class weights
    1/n_y are applied by the caller.

    Args:
        features: h, shape (B, d).
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        alpha: scale of the factor, above 0.
        gamma: focusing exponent of IB-focal, at least 0.
        detach: stop gradients through the factor. The released code propagates them.
        class_weights: w, shape (K,): replace p_y in the focal term by exp(-w_y CE), which is not a probability, as
            the released code does; None uses p_y.

    Returns:
        Shape (B,), at least 0, in nats times the factor.

    Raises:
        ValueError: if ``alpha`` is not above 0 or ``gamma`` is negative.

    Source: Park, Lim, Jeon and Choi, 2021, the influence-balanced loss; the authors' released
    ``IBLoss`` and ``IB_FocalLoss``.

    >>> h, z, y = torch.ones(1, 4), torch.zeros(1, 2), torch.tensor([0])
    >>> influence_balanced_loss(h, z, y, alpha=4.001)  # CE = log 2, ||p - onehot|| = 1, ||h|| = 4
    tensor([0.6931])
    """
    if not alpha > 0:
        raise ValueError(f"`alpha` must be > 0, got {alpha}")
    if not gamma >= 0:
        raise ValueError(f"`gamma` must be >= 0, got {gamma}")
    ce = cross_entropy(logits, labels)
    factor = alpha / (_influence(features, ce) + EPSILON)
    balanced = ce * (factor.detach() if detach else factor)
    if gamma == 0:
        return balanced
    exponent = ce if class_weights is None else class_weights.to(ce.dtype)[labels] * ce
    # clamped for the same reason as in `focal_loss`
    missing = (-torch.expm1(-exponent)).clamp(min=torch.finfo(ce.dtype).tiny)
    return missing**gamma * balanced


def _influence(features: Tensor, ce: Tensor) -> Tensor:
    # ||p - onehot_y||_1 = 2 (1 - p_y): the wrong classes hold the probability missing at the target
    return -2 * torch.expm1(-ce) * promoted(features).abs().sum(dim=1)
