"""Metrics of a classifier on long-tailed data, nearly all from its confusion matrix.

A confusion matrix counts in row i, column j the images of true class i predicted as j. A class without images
has no recall: it is NaN, and every mean leaves it out. Importing this file does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

TOP_K = (3, 5)
_FLOOR = 0.001


def confusion_matrix(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Count (true, predicted) pairs on the device, without waiting for it.

    Args:
        predictions: int64, shape (N,), in 0..K-1; not checked, since a check would wait.
        labels: int64, shape (N,), likewise.
        num_classes: K.

    Returns:
        Int64, shape (K, K), rows are true classes, on the device of the labels.

    >>> import torch
    >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), 2)
    tensor([[1, 1],
            [0, 1]])
    """
    import torch

    cells = labels * num_classes + predictions
    # not torch.bincount: on a GPU it reads its input's maximum back to the host
    counts = torch.zeros(num_classes**2, dtype=torch.int64, device=labels.device)
    return counts.scatter_add_(0, cells, torch.ones_like(cells)).view(num_classes, num_classes)


def top_k(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Count the examples whose class is among their k largest logits.

    Args:
        logits: shape (B, K).
        labels: int64, shape (B,).
        k: at least 1; above K it counts every example.

    Returns:
        Int64 scalar on the device of the logits.

    >>> import torch
    >>> top_k(torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]), torch.tensor([1, 2]), k=2)
    tensor(1)
    """
    largest = logits.topk(min(k, logits.shape[1]), dim=1).indices
    return (largest == labels.unsqueeze(1)).sum()


def recall_per_class(confusion: ArrayLike) -> NDArray[np.float64]:
    """Return the recall of every class, shape (K,); NaN for a class without images.

    >>> recall_per_class([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    array([0.75, 1.  ,  nan])
    """
    counts = np.asarray(confusion, dtype=np.int64)
    images = counts.sum(axis=1)
    recall = np.full(len(counts), np.nan)
    np.divide(np.diag(counts), images, out=recall, where=images > 0)
    return recall


def from_confusion(confusion: ArrayLike, train_counts: ArrayLike) -> dict[str, float]:
    """Return the metrics of `METRICS` that a confusion matrix determines: all but the losses and top-k accuracies.

    Args:
        confusion: int64, shape (K, K), rows are true classes; NumPy, lists, or a tensor on the CPU.
        train_counts: training images per class, shape (K,): what makes a class many, medium or few.

    Returns:
        Name -> value in [0, 1]; NaN for a group of classes that is empty or has no images.

    Source: Kato and Hotta; Kim, Jeong and Shin, 2020, section 3 (GM, major and minor); the floor .001 and the
    groups by shots from the estimated-offset paper. 20 and 100 are medium, as METRICS says.

    >>> values = from_confusion([[3, 1], [1, 1]], [200, 10])
    >>> values["accuracy"], values["balanced_accuracy"], values["many"], values["few"], values["medium"]
    (0.6666666666666666, 0.625, 0.75, 0.5, nan)
    """
    counts = np.asarray(confusion, dtype=np.int64)
    sizes = np.asarray(train_counts, dtype=np.int64)
    recall = recall_per_class(counts)
    major = _holds_over_half(sizes)
    return {
        "accuracy": float(np.trace(counts) / counts.sum()) if counts.any() else np.nan,
        "balanced_accuracy": _mean(recall),
        "geometric_mean": _geometric_mean(recall),
        "geometric_mean_floored": _geometric_mean(np.where(recall == 0, _FLOOR, recall)),
        "worst_recall": float(np.fmin.reduce(recall)),
        "many": _mean(recall[sizes > 100]),
        "medium": _mean(recall[(sizes >= 20) & (sizes <= 100)]),
        "few": _mean(recall[sizes < 20]),
        "major": _mean(recall[major]),
        "minor": _mean(recall[~major]),
        "false_positive_distance": cumulative_false_positives(counts, sizes)[1] if counts.any() else np.nan,
    }


def cumulative_false_positives(confusion: ArrayLike, train_counts: ArrayLike) -> tuple[NDArray[np.int64], float]:
    """Return the curve of false positives summed over classes, and its distance from the straight line.

    FP_k counts images of other classes predicted as k. Classes stand from the most to the least frequent in
    training (equal counts in the order of their index), and the curve ends at the number of all mistakes. An
    unbiased classifier's curve is straight; one biased to frequent classes rises early. The distance is our
    definition, the papers judge by eye: the mean over k=1..K of |curve_k / curve_K - k/K|, 0 without mistakes
    and at most (K-1)/(2K).

    Args:
        confusion: int64, shape (K, K), rows are true classes.
        train_counts: training images per class, shape (K,).

    Returns:
        The curve, int64, shape (K,), in images; the distance, without unit.

    Source: Kim, Jeong and Shin, 2020, figure 5; estimated-offset paper, figure 5.

    >>> curve, distance = cumulative_false_positives([[5, 0], [4, 1]], [100, 10])
    >>> curve, distance
    (array([4, 4]), 0.25)
    """
    counts = np.asarray(confusion, dtype=np.int64)
    false_positives = counts.sum(axis=0) - np.diag(counts)
    curve = np.cumsum(false_positives[_by_frequency(train_counts)])
    straight = np.arange(1, len(curve) + 1) / len(curve)
    distance = np.abs(curve / curve[-1] - straight).mean() if curve[-1] else 0.0
    return curve, float(distance)


def _by_frequency(train_counts: ArrayLike) -> NDArray[np.intp]:
    return np.argsort(-np.asarray(train_counts, dtype=np.int64), kind="stable")


def _holds_over_half(sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    order = _by_frequency(sizes)
    held = np.cumsum(sizes[order])
    major = np.zeros(len(sizes), dtype=bool)
    # integers: exactly half is not over half; every class before the one that crosses belongs, and that one
    major[order] = 2 * (held - sizes[order]) <= held[-1]
    return major


def _mean(recall: NDArray[np.float64]) -> float:
    known = recall[~np.isnan(recall)]
    return float(known.mean()) if len(known) else np.nan


def _geometric_mean(recall: NDArray[np.float64]) -> float:
    known = recall[~np.isnan(recall)]
    if not len(known):
        return np.nan
    # in logs, since a product over hundreds of classes underflows
    return float(np.exp(np.log(known).mean())) if known.all() else 0.0
