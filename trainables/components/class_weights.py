"""Class weights (inverse frequency, effective number of samples) and the weighted mean over a batch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trainables.components.variants import Divisor


def inverse_frequency(counts: Tensor) -> Tensor:
    """Return class weights proportional to 1/n_k, normalised to sum to K (RW).

    Args:
        counts: n, training images per class, shape (K,), each at least 1.

    Returns:
        Float64, shape (K,), positive, with mean 1.

    Raises:
        ValueError: if a class has no training images.

    >>> inverse_frequency(torch.tensor([30, 10]))
    tensor([0.5000, 1.5000], dtype=torch.float64)
    """
    return _sum_to_classes(1 / _checked(counts))


def effective_number(counts: Tensor, beta: float) -> Tensor:
    """Return class weights proportional to (1 - beta) / (1 - beta^n_k), normalised to sum to K (CB-RW).

    1 - beta^n is computed as -expm1(n log1p(-(1 - beta))) in float64; float32 would give 0/0 for rare classes with
    beta near 1.

    Args:
        counts: n, training images per class, shape (K,), each at least 1.
        beta: in [0, 1]; 0 gives equal weights, 1 gives the limit, `inverse_frequency`.

    Returns:
        Float64, shape (K,), positive, with mean 1.

    Raises:
        ValueError: if a class has no training images or ``beta`` is outside [0, 1].

    Source: Cui, Jia, Lin, Song and Belongie, 2019, proposition 1 and the class-balanced loss.

    >>> effective_number(torch.tensor([2, 1]), 0.5)  # proportional to 1/1.5 and 1/1
    tensor([0.8000, 1.2000], dtype=torch.float64)
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"`beta` must be in [0, 1], got {beta}")
    if beta == 1:
        return inverse_frequency(counts)
    log_beta = math.log1p(-(1 - beta)) if beta > 0 else -math.inf
    return _sum_to_classes((1 - beta) / -torch.expm1(_checked(counts) * log_beta))


def weighted_mean(losses: Tensor, weights: Tensor, over: Divisor) -> Tensor:
    """Return sum(w * l) / sum(w) (``weights``) or sum(w * l) / B (``examples``), a scalar.

    LDAM and ELM use the first, M2m the second; they differ in the effective step size.

    Args:
        losses: l, shape (B,).
        weights: w, the class weight of each example, shape (B,), any floating dtype; cast to the dtype of the losses.
        over: divisor of the weighted sum.

    Raises:
        ValueError: if ``over`` is neither.

    >>> l, w = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 1.0])
    >>> weighted_mean(l, w, "weights"), weighted_mean(l, w, "examples")
    (tensor(1.2500), tensor(2.5000))
    """
    weights = weights.to(losses.dtype)
    if over == "weights":
        return (weights * losses).sum() / weights.sum()
    if over == "examples":
        return (weights * losses).mean()
    raise ValueError(f"`over` must be 'weights' or 'examples', got {over!r}")


def _checked(counts: Tensor) -> Tensor:
    if not bool((counts > 0).all()):
        raise ValueError(f"`counts` must be at least 1 in every class, got {counts.tolist()}")
    return counts.double()


def _sum_to_classes(weights: Tensor) -> Tensor:
    return weights * (len(weights) / weights.sum())
