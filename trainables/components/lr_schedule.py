"""Learning rate schedules over an epoch budget."""

from __future__ import annotations

import math

from trainables.core.config import ScheduleConfig


def milestone_epoch(milestone: float, epochs: int) -> int:
    """Return the first 0-based epoch at or after a milestone: a fraction of the budget, or an integer of epochs.

    >>> milestone_epoch(0.8, 200), milestone_epoch(0.7, 10), milestone_epoch(0.5, 5), milestone_epoch(50, 200)
    (160, 7, 3, 50)
    """
    return milestone if isinstance(milestone, int) else math.ceil(_length(milestone, epochs))


def ineffective_milestones(schedule: ScheduleConfig, epochs: int) -> list[float]:
    """Return the milestones of a ``step`` schedule inside the last epoch: no epoch follows that they could change.

    >>> ineffective_milestones(ScheduleConfig(milestones=(0.8, 0.95)), 10)
    [0.95]
    """
    if schedule.kind != "step":
        return []
    return [m for m in schedule.milestones if milestone_epoch(m, epochs) >= epochs]


def over_a_stage(schedule: ScheduleConfig, epochs: int) -> ScheduleConfig:
    """Return the schedule for a stage that restarts it: whole epochs become fractions of the budget.

    The rate then falls at the same fractions of the stage as it would in the whole training.

    >>> over_a_stage(ScheduleConfig(milestones=(50, 90)), 100).milestones
    (0.5, 0.9)
    """
    return schedule.model_copy(
        update={"milestones": tuple(m / epochs if isinstance(m, int) else m for m in schedule.milestones)}
    )


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
        schedule: kind, milestones and warm-up.
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
