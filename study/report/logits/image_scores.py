"""Metrics of probabilities on labelled images: those of the confusion matrix and those of calibration."""

from __future__ import annotations

import numpy as np

from study.report.logits.calibration import (
    BINS,
    Floats,
    Ints,
    brier_score,
    classwise_calibration_error,
    negative_log_likelihood,
    reliability,
)
from study.report.logits.stored_logits import confusion_of
from trainables.core.metrics import from_confusion


def calibration_scores(
    log_probabilities: Floats, predictions: Ints, labels: Ints, bins: int = BINS
) -> dict[str, float]:
    """Return the mean confidence of the predictions, ECE, class-wise ECE, NLL in nats and Brier score.

    Args:
        log_probabilities: (N, K).
        predictions: (N,), the classes whose probability is the confidence.
        labels: (N,).
        bins: number of bins of both calibration errors.
    """
    probabilities = np.exp(log_probabilities)
    confidence = probabilities[np.arange(len(labels)), predictions]
    return {
        "confidence": float(confidence.mean()),
        "ece": reliability(confidence, predictions == labels, bins).error,
        "classwise_ece": classwise_calibration_error(probabilities, labels, bins),
        "nll": negative_log_likelihood(log_probabilities, labels),
        "brier": brier_score(probabilities, labels),
    }


def class_scores(predictions: Ints, labels: Ints, class_counts: tuple[int, ...]) -> dict[str, float]:
    """Return the metrics of the confusion matrix of predictions (N,) on labels (N,).

    Args:
        predictions: (N,).
        labels: (N,).
        class_counts: (K,), training images per class.
    """
    return from_confusion(confusion_of(predictions, labels, len(class_counts)), class_counts)
