"""Weights per class that multiply a loss from outside, and the weighted mean over a batch."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Divisor = Literal["weights", "examples"]


def inverse_frequency(counts: Tensor) -> Tensor:
    """Return weights proportional to 1/n_k, scaled to sum K (RW).

    Args:
        counts: n, training images per class, shape (K,), each at least 1.

    Returns:
        Float64, shape (K,), positive, of mean 1.

    Raises:
        ValueError: a class without images.

    >>> inverse_frequency(torch.tensor([30, 10]))
    tensor([0.5000, 1.5000], dtype=torch.float64)
    """
    return _sum_to_classes(1 / _checked(counts))


def effective_number(counts: Tensor, beta: float) -> Tensor:
    """Return weights proportional to (1 - beta) / (1 - beta^n_k), scaled to sum K (CB-RW).

    1 - beta^n is taken as -expm1(n log1p(-(1 - beta))) in float64, where float32 would give 0/0 for rare
    classes at beta near 1.

    Args:
        counts: n, training images per class, shape (K,), each at least 1.
        beta: in [0, 1]; 0 weighs all classes alike, 1 is the limit, `inverse_frequency`.

    Returns:
        Float64, shape (K,), positive, of mean 1.

    Raises:
        ValueError: a class without images, or beta outside [0, 1].

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
    """Return sum(w * l) / sum(w) (``weights``) or sum(w * l) / N (``examples``), a scalar.

    The first is what LDAM and ELM train with, the second what M2m does; they differ in the step's length.

    Args:
        losses: l, shape (B,).
        weights: w of each example's class, shape (B,), any floating dtype; taken in the dtype of the losses.
        over: what the weighted sum is divided by.

    Raises:
        ValueError: ``over`` is neither.

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
