"""Learning rate schedules; milestones and warm-up are fractions of the epoch budget."""

from __future__ import annotations

import math

from trainables.core.config import ScheduleConfig


def milestone_epoch(fraction: float, epochs: int) -> int:
    """Return the first 0-based epoch at or after a fraction of the budget.

    >>> milestone_epoch(0.8, 200), milestone_epoch(0.7, 10), milestone_epoch(0.5, 5)
    (160, 7, 3)
    """
    return math.ceil(_length(fraction, epochs))


def stage_start(fraction: float, epochs: int) -> int:
    """Return the 0-based first epoch of a stage that starts at a fraction of the budget, at most the last epoch.

    >>> stage_start(0.8, 200), stage_start(0.8, 2)
    (160, 1)
    """
    return min(milestone_epoch(fraction, epochs), epochs - 1)


def learning_rate(schedule: ScheduleConfig, base: float, epoch: int, epochs: int) -> float:
    """Return the learning rate of an epoch: base * warm-up * decay.

    Warm-up is min(1, (epoch+1) / (warmup * epochs)). Decay is ``factor`` per milestone reached (``step``),
    (1 + cos(pi * epoch / epochs)) / 2 (``cosine``), or 1 (``constant``).

    Args:
        schedule: kind, milestones and warm-up, the latter two as fractions of the budget.
        base: peak learning rate.
        epoch: 0-based epoch.
        epochs: epoch budget.

    >>> recipe = ScheduleConfig(kind="step", milestones=(0.8, 0.9), factor=0.01, warmup=0.025)
    >>> [round(learning_rate(recipe, 0.1, epoch, 200), 9) for epoch in (0, 4, 159, 160, 180)]
    [0.02, 0.1, 0.1, 0.001, 1e-05]
    """
    return base * _warmup(schedule, epoch, epochs) * _decay(schedule, epoch, epochs)


def _warmup(schedule: ScheduleConfig, epoch: int, epochs: int) -> float:
    length = _length(schedule.warmup, epochs)
    return min(1.0, (epoch + 1) / length) if length > 0 else 1.0


def _decay(schedule: ScheduleConfig, epoch: int, epochs: int) -> float:
    if schedule.kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * epoch / epochs))
    if schedule.kind == "constant":
        return 1.0
    reached = sum(epoch >= milestone_epoch(m, epochs) for m in schedule.milestones)
    return float(schedule.factor**reached)


def _length(fraction: float, epochs: int) -> float:
    # 0.7 * 10 is 7.000000000000001 in floating point; without rounding the milestone would be an epoch late
    return round(fraction * epochs, 9)
