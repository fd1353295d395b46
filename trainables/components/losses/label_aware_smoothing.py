"""Label-aware smoothing: stronger label smoothing for frequent classes, on which networks are overconfident."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted

Shape = Literal["concave", "linear", "convex"]
Spread = Literal["wrong", "all"]


def class_smoothing(class_counts: Tensor, *, head: float, tail: float, shape: Shape) -> Tensor:
    """Return the smoothing factors eps_k, which rise with n_k from ``tail`` (rarest class) to ``head``.

    With x = (n_k - n_min) / (n_max - n_min): tail + (head - tail) sin(pi x / 2) (``concave``),
    tail + (head - tail) x (``linear``), head + (head - tail) sin(3 pi/2 + pi x / 2) (``convex``).

    Args:
        class_counts: n, training images per class, shape (K,).
        head: eps of the most frequent class, in [0, 1).
        tail: eps of the rarest class, in [0, 1).
        shape: curve between the two.

    Returns:
        eps, float64, shape (K,). For equal counts, where x is 0/0, every class gets ``tail``.

    Raises:
        ValueError: if ``head`` or ``tail`` is outside [0, 1) or ``shape`` is unknown.

    Source: Zhong, Cui, Liu and Jia, 2021 (MiSLAS), the concave form; the other forms follow their released code.

    >>> class_smoothing(torch.tensor([30, 20, 10]), head=0.4, tail=0.1, shape="concave")
    tensor([0.4000, 0.3121, 0.1000], dtype=torch.float64)
    """
    for name, value in (("head", head), ("tail", tail)):
        if not 0 <= value < 1:
            raise ValueError(f"`{name}` must be in [0, 1), got {value}")
    counts = class_counts.double()
    x = (counts - counts.min()) / (counts.max() - counts.min()).clamp(min=1)
    if shape == "concave":
        return tail + (head - tail) * torch.sin(math.pi / 2 * x)
    if shape == "linear":
        return tail + (head - tail) * x
    if shape == "convex":
        return head + (head - tail) * torch.sin(1.5 * math.pi + math.pi / 2 * x)
    raise ValueError(f"`shape` must be 'concave', 'linear' or 'convex', got {shape!r}")


def label_aware_smoothing_loss(logits: Tensor, labels: Tensor, *, smoothing: Tensor, spread: Spread) -> Tensor:
    """Return -(1 - eps_y) log p_y - eps_y * mean_{j != y} log p_j per example (``wrong``).

    ``all`` follows the released code: the mean runs over all K classes, so the target has weight 1 - eps_y + eps_y/K
    instead of the paper's 1 - eps_y.

    Args:
        logits: z, shape (B, K), K at least 2.
        labels: y, int64, shape (B,).
        smoothing: eps from `class_smoothing`, shape (K,), on the device of the logits.
        spread: classes among which eps_y is distributed, ``wrong`` or ``all``.

    Returns:
        Shape (B,), nats, at least 0.

    Raises:
        ValueError: if ``spread`` is unknown.

    Source: Zhong, Cui, Liu and Jia, 2021 (MiSLAS), and the authors' released ``LabelAwareSmoothing``.

    >>> z, eps = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([0.3, 0.1, 0.1])
    >>> label_aware_smoothing_loss(z, torch.tensor([0]), smoothing=eps, spread="wrong")
    tensor([0.8395])
    """
    if spread not in ("wrong", "all"):
        raise ValueError(f"`spread` must be 'wrong' or 'all', got {spread!r}")
    missing = -promoted(logits).log_softmax(dim=1)
    own, classes = cross_entropy(logits, labels), missing.shape[1]
    total = missing.sum(dim=1)
    shared = total / classes if spread == "all" else (total - own) / (classes - 1)
    eps = smoothing.to(own.dtype)[labels]
    return (1 - eps) * own + eps * shared
