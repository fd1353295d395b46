"""Calibration of probabilities: expected calibration errors, NLL, Brier score, and a temperature fitted by NLL."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BINS = 15
"""Bins of equal width, as in Guo et al., 2017."""
TEMPERATURES = (0.01, 100.0)
"""Bounds of a fitted temperature."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Images by their confidence, in M bins of equal width.

    Attributes:
        count: int64 (M,), images in each bin, of confidence in ((m - 1) / M, m / M].
        confidence: float64 (M,), sum of their confidences.
        right: int64 (M,), number of them that are right.
    """

    count: Ints
    confidence: Floats
    right: Ints

    @property
    def error(self) -> float:
        """Expected calibration error in [0, 1]: sum over bins of |right - confidence|, divided by all images."""
        return float(np.abs(self.right - self.confidence).sum() / max(1, self.count.sum()))

    def __add__(self, other: Reliability) -> Reliability:
        """Return the bins of both together; both must have as many."""
        return Reliability(self.count + other.count, self.confidence + other.confidence, self.right + other.right)


def log_softmax(logits: npt.ArrayLike, temperature: float = 1.0) -> Floats:
    """Return log probabilities (N, K) in nats, of logits (N, K) divided by a temperature above 0."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    scaled = scaled - scaled.max(axis=1, keepdims=True)
    found: Floats = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
    return found


def reliability(confidence: Floats, right: Bools, bins: int = BINS) -> Reliability:
    """Sort images into bins by confidence.

    Args:
        confidence: (N,), probabilities in [0, 1].
        right: (N,), whether the class with this probability is the true one.
        bins: M, at least 1.

    Source: Guo, Pleiss, Sun and Weinberger, 2017, section 2.

    >>> found = reliability(np.array([0.6, 0.7, 0.9, 1.0]), np.array([True, False, True, True]), bins=2)
    >>> found.count.tolist(), found.right.tolist(), round(found.error, 6)
    ([0, 4], [0, 3], 0.05)
    """
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return Reliability(
        np.bincount(places, minlength=bins).astype(np.int64),
        np.bincount(places, weights=confidence, minlength=bins).astype(np.float64),
        np.bincount(places, weights=right, minlength=bins).astype(np.int64),
    )


def expected_calibration_error(probabilities: Floats, labels: Ints, bins: int = BINS) -> float:
    """Return the expected calibration error of the predicted classes, in [0, 1].

    Args:
        probabilities: (N, K).
        labels: (N,).
        bins: number of bins of equal width.

    Source: Guo, Pleiss, Sun and Weinberger, 2017, eqs 2-5.
    """
    right = probabilities.argmax(axis=1) == labels
    return reliability(probabilities.max(axis=1), right, bins).error


def classwise_calibration_error(probabilities: Floats, labels: Ints, bins: int = BINS) -> float:
    """Return the class-wise expected calibration error: the mean over classes k of the error of "the class is k".

    All images count for every class, with their probability of it. Arguments as in `expected_calibration_error`.

    Source: Kull, Perello Nieto, Kangsepp, Silva Filho, Song and Flach, 2019, "Beyond temperature scaling", section 2.
    """
    classes = range(probabilities.shape[1])
    return math.fsum(reliability(probabilities[:, k], labels == k, bins).error for k in classes) / len(classes)


def negative_log_likelihood(log_probabilities: Floats, labels: Ints) -> float:
    """Return the mean of -log p(true class) over images, in nats."""
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def brier_score(probabilities: Floats, labels: Ints) -> float:
    """Return the Brier score in [0, 2]: squared errors of all K probabilities summed, mean over images.

    Source: Brier, 1950, "Verification of forecasts expressed in terms of probability".
    """
    truth = np.zeros_like(probabilities)
    truth[np.arange(len(labels)), labels] = 1.0
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def fitted_temperature(logits: npt.ArrayLike, labels: Ints) -> float:
    """Return the temperature that minimises the NLL of logits (N, K) on labels (N,), within `TEMPERATURES`.

    The NLL is convex in 1 / T. Where every true class has the largest logit, it falls with T down to 0, and no
    temperature is the best: 1 is returned.

    Source: Guo, Pleiss, Sun and Weinberger, 2017, section 4.2, temperature scaling.
    """
    from scipy.optimize import minimize_scalar

    given = np.asarray(logits, dtype=np.float64)
    true = given[np.arange(len(labels)), labels]
    if ((given < true[:, None]).sum(axis=1) == given.shape[1] - 1).all():
        return 1.0
    low, high = map(math.log, TEMPERATURES)

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(log_softmax(given, math.exp(log_temperature)), labels)

    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-5})
    return math.exp(float(found.x))
