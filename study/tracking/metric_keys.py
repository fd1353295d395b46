"""Keys of MLflow metrics: every key says what it was measured on."""

from __future__ import annotations

import re
from collections.abc import Sequence

VALIDATION, TEST, TRAINING = "validation", "test", "training"

EPOCH_METRICS = (
    "balanced_accuracy",
    "geometric_mean",
    "worst_recall",
    "many",
    "medium",
    "few",
    "accuracy",
    "loss",
    "train_loss",
    "learning_rate",
    "images_per_second",
)
"""Logged metrics of an epoch, beside the study's own. Few and stable keys: MLflow's pages slow down with many."""

TEST_METRICS = ("balanced_accuracy", "geometric_mean", "worst_recall", "many", "medium", "few", "accuracy", "loss")
"""Logged test metrics, beside the study's own."""

_NOT_OF_VALIDATION = {
    "train_loss": f"{TRAINING}/loss",
    "learning_rate": f"{TRAINING}/learning_rate",
    "images_per_second": "system/images_per_second",
}
"""The prefix ``system/`` puts a metric on MLflow's own page for them, away from the results."""

_NOT_IN_A_KEY = re.compile(r"[^\w .-]")


def epoch_key(name: str) -> str:
    """Return the key of an epoch's metric.

    >>> epoch_key("balanced_accuracy"), epoch_key("train_loss")
    ('validation/balanced_accuracy', 'training/loss')
    """
    return _NOT_OF_VALIDATION.get(name, f"{VALIDATION}/{name}")


ALWAYS_THERE = epoch_key("learning_rate")
"""A metric that is always finite, so its history tells which epochs were logged."""


def method_key(name: str) -> str:
    """Return the key of a method's own metric, which it measures in training."""
    return f"{TRAINING}/method/{name}"


def selected_key(name: str) -> str:
    """Return the key of a metric at the best epoch so far, under ``select: best``."""
    return f"{VALIDATION}/selected/{name}"


def test_key(name: str) -> str:
    """Return the key of a test metric of a trial."""
    return f"{TEST}/{name}"


def best_key(name: str) -> str:
    """Return the key, in a cell's run, of the best value so far over its ended trials."""
    return f"{VALIDATION}/best {name}"


def mean_key(setting: str, name: str) -> str:
    """Return the key, in a cell's run, of a confirmed setting's mean test metric.

    >>> mean_key("best", "few")
    'test/best mean over seeds/few'
    """
    return f"{TEST}/{setting} mean over seeds/{name}"


def deviation_key(setting: str, name: str) -> str:
    """Return the key, in a cell's run, of a confirmed setting's standard deviation of a test metric."""
    return f"{TEST}/{setting} sd over seeds/{name}"


def recall_keys(class_names: Sequence[str]) -> list[str]:
    """Return the keys of the classes' recalls; slashes and characters that MLflow refuses become hyphens.

    >>> recall_keys(["T-shirt/top", "a:b", "a-b"])
    ['validation/recall/T-shirt-top', 'validation/recall/a-b', 'validation/recall/a-b 2']
    """
    keys: list[str] = []
    for index, name in enumerate(class_names):
        key = f"{VALIDATION}/recall/{_NOT_IN_A_KEY.sub('-', name).strip('. ') or index}"[:200]
        keys.append(key if key not in keys else f"{key} {index}")
    return keys
