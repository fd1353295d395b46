"""Verification: decide from the distance of two images' features whether they show the same class."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainables.data.image_pairs import Pairs

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


class Verification(NamedTuple):
    """Cross-validated verification results.

    Attributes:
        accuracies: float64 (F,), accuracy on each fold, in [0, 1].
        thresholds: float64 (F,), distance thresholds, each selected on the other folds.
    """

    accuracies: Floats
    thresholds: Floats

    @property
    def mean(self) -> float:
        """Return the mean accuracy."""
        return float(self.accuracies.mean())

    @property
    def standard_error(self) -> float:
        """Return the standard error of the mean: the sample standard deviation (F - 1) divided by sqrt(F)."""
        return float(self.accuracies.std(ddof=1)) / math.sqrt(len(self.accuracies))


def verify(features: Tensor, pairs: Pairs) -> Verification:
    """Verify pairs by the Euclidean distance of their features.

    Args:
        features: (N, d), of all images of the split.
        pairs: rows of both images, same-class flags and folds.

    Source: Hayat et al. 2019, section 4.1 with table 3, following Huang et al. 2007, "Labeled faces in the wild",
    section IV: the mean over ten folds and S_E = sigma / sqrt(10).
    """
    rows = features.double().numpy()
    distances = np.linalg.norm(rows[pairs.first.numpy()] - rows[pairs.second.numpy()], axis=1)
    return over_folds(distances, pairs.same.numpy(), pairs.folds.numpy())


def mean_features(features: Tensor, groups: Tensor) -> Tensor:
    """Return the mean of the features of each group, such as the frames of a video.

    Args:
        features: (N, d).
        groups: int64 (N,), in [0, G), no group empty.

    Returns:
        float64 (G, d).

    >>> mean_features(torch.tensor([[1.0], [2.0], [6.0]]), torch.tensor([1, 0, 1])).tolist()
    [[2.0], [3.5]]
    """
    sums = torch.zeros(int(groups.max()) + 1, features.shape[1], dtype=torch.float64)
    return sums.index_add_(0, groups, features.double()) / groups.bincount().unsqueeze(1)


def over_folds(distances: Floats, same: Bools, folds: npt.NDArray[np.int64]) -> Verification:
    """Evaluate each fold with the threshold that is best on all other folds.

    Args:
        distances: float64 (P,), at least 0.
        same: bool (P,).
        folds: int64 (P,), in [0, F), F at least 2, none empty.

    >>> over_folds(np.array([1.0, 3.0, 1.5, 2.5]), np.array([True, False] * 2), np.array([0, 0, 1, 1])).mean
    1.0
    """
    accuracies, thresholds = [], []
    for fold in range(int(folds.max()) + 1):
        inside = folds == fold
        threshold = best_threshold(distances[~inside], same[~inside])
        accuracies.append(float(((distances[inside] < threshold) == same[inside]).mean()))
        thresholds.append(threshold)
    return Verification(np.array(accuracies), np.array(thresholds))


def best_threshold(distances: Floats, same: Bools) -> float:
    """Return the threshold t that maximises the accuracy of "same if distance < t"; ties go to the smallest.

    t lies halfway between two consecutive distances; inf predicts "same" for all pairs.

    >>> best_threshold(np.array([1.0, 2.0, 4.0, 5.0]), np.array([True, True, False, True]))
    3.0
    """
    order = np.argsort(distances, kind="stable")
    ranked = distances[order]
    # right[i]: number of correct pairs if the i nearest are predicted "same"
    nearer = np.concatenate([[0], np.cumsum(np.where(same[order], 1, -1))])
    right = nearer + np.count_nonzero(~same)
    lower, upper = np.concatenate([[-np.inf], ranked]), np.concatenate([ranked, [np.inf]])
    cut = int(np.argmax(np.where(lower < upper, right, -1)))  # no threshold separates equal distances
    if cut in (0, len(ranked)):
        return float(upper[cut])
    middle = lower[cut] / 2 + upper[cut] / 2
    return float(middle if middle > lower[cut] else upper[cut])
