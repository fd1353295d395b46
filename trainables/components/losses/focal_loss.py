"""Focal loss: cross entropy, damped where the example is already classified well."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy


def focal_loss(logits: Tensor, labels: Tensor, *, gamma: float) -> Tensor:
    """Return (1 - p_y)^gamma * CE of every example.

    p_y comes from the unweighted cross entropy; class weights multiply the result. (Released code puts
    weighted cross entropy into p_y, which is then no probability.)

    Args:
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        gamma: focusing exponent, at least 0; 0 is exactly cross entropy.

    Returns:
        Shape (B,), nats, at least 0.

    Raises:
        ValueError: gamma below 0.

    Source: Lin, Goyal, Girshick, He and Dollár, 2017, eq 4, without its alpha.

    >>> focal_loss(torch.zeros(1, 2), torch.tensor([0]), gamma=2.0)  # log(2) / 4
    tensor([0.1733])
    """
    if not gamma >= 0:
        raise ValueError(f"`gamma` must be >= 0, got {gamma}")
    ce = cross_entropy(logits, labels)
    # the derivative of x^gamma is infinite at x=0 for gamma < 1, and infinity times CE=0 is no number; the
    # true gradient there is 0, which is what the smallest normal number in place of 0 gives
    missing = (-torch.expm1(-ce)).clamp(min=torch.finfo(ce.dtype).tiny)
    return missing**gamma * ce
