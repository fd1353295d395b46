"""Names, descriptions and directions of all metrics. Free of numpy, so that a study file is checked quickly."""

from __future__ import annotations

from typing import Literal

Direction = Literal["maximize", "minimize"]

METRICS: dict[str, tuple[str, Direction]] = {
    "loss": ("mean loss per validation image, with the loss that trains", "minimize"),
    "train_loss": ("mean loss per training image over the epoch, as optimised", "minimize"),
    "accuracy": ("share of images classified right", "maximize"),
    "balanced_accuracy": ("mean recall over classes", "maximize"),
    "geometric_mean": ("geometric mean of recalls; 0 if any is 0", "maximize"),
    "geometric_mean_floored": ("geometric mean of recalls, zeros counted as 0.001", "maximize"),
    "worst_recall": ("smallest recall of a class", "maximize"),
    "many": ("mean recall of classes with more than 100 training images", "maximize"),
    "medium": ("mean recall of classes with 20 to 100 training images", "maximize"),
    "few": ("mean recall of classes with fewer than 20 training images", "maximize"),
    "major": ("mean recall of the largest classes that hold over half the training images", "maximize"),
    "minor": ("mean recall of the other classes", "maximize"),
    "false_positive_distance": (
        "how unevenly false positives fall on frequent and rare classes, 0 is even",
        "minimize",
    ),
    "top_3": ("share of images whose class is among the 3 largest logits", "maximize"),
    "top_5": ("share of images whose class is among the 5 largest logits", "maximize"),
}
"""Scalar metrics of an epoch result: name -> (description, direction).

Metrics of a group of classes are NaN if the group is empty.
"""
