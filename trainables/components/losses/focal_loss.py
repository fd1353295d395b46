"""Focal loss: cross entropy, down-weighted for well-classified examples."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy


def focal_loss(logits: Tensor, labels: Tensor, *, gamma: float, alpha: float = 1.0) -> Tensor:
    """Return alpha * (1 - p_y)^gamma * CE per example.

    p_y is computed from the unweighted cross entropy; class weights multiply the result. (Some released code computes
    p_y from the weighted cross entropy, where it is not a probability.)

    Args:
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        gamma: focusing exponent, at least 0; 0 gives cross entropy exactly.
        alpha: factor of every class, above 0. Eq 5 is for two classes, alpha for the first and 1 - alpha for the
            second; with a softmax over K classes, common code multiplies all of them by alpha.

    Returns:
        Shape (B,), nats, at least 0.

    Raises:
        ValueError: if ``gamma`` is negative or ``alpha`` is not above 0.

    Source: Lin, Goyal, Girshick, He and Dollár, 2017, eqs 4 and 5.

    >>> focal_loss(torch.zeros(1, 2), torch.tensor([0]), gamma=2.0)  # log(2) / 4
    tensor([0.1733])
    """
    if not gamma >= 0:
        raise ValueError(f"`gamma` must be >= 0, got {gamma}")
    if not alpha > 0:
        raise ValueError(f"`alpha` must be > 0, got {alpha}")
    ce = cross_entropy(logits, labels)
    # for gamma < 1 the derivative of x^gamma is infinite at x=0, and its product with CE=0 is NaN; clamping x to the
    # smallest normal number gives the true gradient, 0
    missing = (-torch.expm1(-ce)).clamp(min=torch.finfo(ce.dtype).tiny)
    return alpha * (missing**gamma * ce)
