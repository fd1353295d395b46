"""Selection of a training's best epoch by a metric on validation images; does not import torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trainables.core.metric_names import METRICS


def is_better(metric: str, value: float, other: float | None) -> bool:
    """Return True if a value of a metric is strictly better than another; NaN never is, None always loses to a number.

    >>> is_better("accuracy", 0.6, 0.5), is_better("loss", 0.6, 0.5), is_better("loss", 0.5, 0.5)
    (True, False, False)
    """
    if math.isnan(value):
        return False
    return other is None or (value > other if METRICS[metric][1] == "maximize" else value < other)


def best_epoch(metric: str, values: Mapping[int, float], after: int) -> int | None:
    """Return the epoch with the best value, the first among equals; None if no epoch qualifies.

    Args:
        metric: the metric's name, which says whether larger is better.
        values: 1-based epoch -> value.
        after: number of first epochs that do not qualify.

    >>> best_epoch("accuracy", {1: 0.9, 2: 0.5, 3: 0.7, 4: 0.7}, after=1)
    3
    """
    best: int | None = None
    for epoch in sorted(values):
        if epoch > after and is_better(metric, values[epoch], None if best is None else values[best]):
            best = epoch
    return best
