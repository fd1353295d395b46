"""Equalization loss v2 (EQL v2): per-class sigmoids with reweighted positive and negative gradients."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from trainables.components.losses.cross_entropy import promoted, target_mask


class SidedWeights(NamedTuple):
    """Per-class weights of positive (q) and negative (r) examples, each of shape (K,)."""

    positive: Tensor
    negative: Tensor


def equalization_weights(gradient_ratio: Tensor, *, alpha: float, gamma: float, mu: float) -> SidedWeights:
    """Return the weights r_j = sigmoid(gamma (g_j - mu)) of negatives and q_j = 1 + alpha (1 - r_j) of positives.

    A class that has accumulated less positive than negative gradient gets a smaller r and a larger q.

    Args:
        gradient_ratio: g, ratio of accumulated positive to negative gradient, shape (K,), at least 0.
        alpha: upper bound of q - 1.
        gamma: slope of the sigmoid.
        mu: gradient ratio at which r is one half.

    Source: Tan, Lu, Zhang, Yin and Li, 2021 (EQL v2), the reweighting of gradients.

    >>> equalization_weights(torch.tensor([100.0, 0.8]), alpha=4.0, gamma=12.0, mu=0.8)
    SidedWeights(positive=tensor([1., 3.]), negative=tensor([1.0000, 0.5000]))
    """
    negative = torch.sigmoid(gamma * (gradient_ratio - mu))
    return SidedWeights(1 + alpha * (1 - negative), negative)


def equalization_loss(logits: Tensor, labels: Tensor, *, weights: SidedWeights) -> Tensor:
    """Return q_y (-log s_y) + sum_{j != y} r_j (-log(1 - s_j)) with s = sigmoid(z), per example.

    Args:
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        weights: from `equalization_weights`, on the device of the logits.

    Returns:
        Shape (B,), nats, at least 0; summed rather than averaged over classes.

    Source: Tan, Lu, Zhang, Yin and Li, 2021 (EQL v2), without the objectness branch for detection.

    >>> once = SidedWeights(torch.ones(3), torch.ones(3))
    >>> equalization_loss(torch.zeros(1, 3), torch.tensor([0]), weights=once)  # 3 log 2
    tensor([2.0794])
    """
    z = promoted(logits)
    is_target = target_mask(labels, z.shape[1])
    chosen = torch.where(is_target, weights.positive.to(z.dtype), weights.negative.to(z.dtype))
    return -(chosen * F.logsigmoid(torch.where(is_target, z, -z))).sum(dim=1)


def sided_gradients(logits: Tensor, labels: Tensor, *, weights: SidedWeights) -> SidedWeights:
    """Return |dL/dz_j| per class, summed over positive and over negative examples, each of shape (K,).

    Args:
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        weights: the weights used in the loss of this batch.

    >>> once = SidedWeights(torch.ones(2), torch.ones(2))
    >>> sided_gradients(torch.zeros(3, 2), torch.tensor([0, 0, 1]), weights=once)
    SidedWeights(positive=tensor([1.0000, 0.5000]), negative=tensor([0.5000, 1.0000]))
    """
    z = promoted(logits)
    is_target = target_mask(labels, z.shape[1])
    missed = torch.sigmoid(torch.where(is_target, -z, z))
    positive = missed.masked_fill(~is_target, 0).sum(dim=0)
    negative = missed.masked_fill(is_target, 0).sum(dim=0)
    return SidedWeights(weights.positive * positive, weights.negative * negative)
