"""What is searched for: one metric or several at once, and bounds that others must keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from pydantic import Field, model_validator

from trainables.core.config import StrictModel
from trainables.core.errors import unknown_name
from trainables.core.metric_names import METRICS, Direction

Metrics = str | tuple[str, ...]
"""What ``search.metric`` may hold: a name, or several."""

Candidate = TypeVar("Candidate")


class Bounds(StrictModel):
    """What a metric must keep at a trial's last epoch, in the metric's own unit; ends are allowed."""

    min: float | None = Field(None, allow_inf_nan=False)
    max: float | None = Field(None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _some_bound(self) -> Bounds:
        if self.min is None and self.max is None:
            raise ValueError("`min` or `max` must be given")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` must be <= `max`, got {self.min:g} and {self.max:g}")
        return self


def names_of(metrics: Metrics) -> tuple[str, ...]:
    """Return the metrics as a tuple, the first of which ranks and is shown where only one can be.

    >>> names_of("few"), names_of(("many", "few"))
    (('few',), ('many', 'few'))
    """
    return (metrics,) if isinstance(metrics, str) else metrics


def checked_metrics(metrics: Metrics) -> Metrics:
    """Return known metrics, a list of one as its one name.

    Raises:
        BadInput: an unknown metric; the nearest name is given.
        ValueError: none, or one twice.
    """
    names = names_of(metrics)
    for name in names:
        check_known(name)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"must name at least one metric and none twice, got {list(names)}")
    return names[0] if len(names) == 1 else names


def check_known(name: str) -> None:
    """Raise BadInput, with the nearest name, for a metric that no record holds."""
    if name not in METRICS:
        raise unknown_name("metric", name, METRICS)


def directions(metrics: Metrics) -> list[Direction]:
    """Return ``maximize`` or ``minimize`` for every metric."""
    return [METRICS[name][1] for name in names_of(metrics)]


def losses(metrics: Metrics, values: Sequence[float]) -> tuple[float, ...]:
    """Return values turned so that smaller is better.

    >>> losses(("few", "loss"), (0.5, 2.0))
    (-0.5, 2.0)
    """
    grows = (direction == "maximize" for direction in directions(metrics))
    return tuple(-value if up else value for up, value in zip(grows, values, strict=True))


def constraint_violations(constraints: Mapping[str, Bounds], record: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each bound is violated, in the metric's unit; at most 0 where it is kept, as Optuna wants it.

    >>> constraint_violations({"many": Bounds(min=0.75)}, {"many": 0.5})
    {'many.min': 0.25}
    """
    found = {}
    for name, bounds in constraints.items():
        value = float(record[name])
        if bounds.min is not None:
            found[f"{name}.min"] = bounds.min - value
        if bounds.max is not None:
            found[f"{name}.max"] = value - bounds.max
    return found


def not_numbers(values: Mapping[str, float]) -> list[str]:
    """Return the names of what is not a number."""
    return [name for name, value in values.items() if math.isnan(value)]


class Ranking(Generic[Candidate]):
    """Tells better trials from worse by their metrics and by the bounds that they violate.

    Args:
        metrics: of the study.
        values: returns a trial's metrics at its end, in their order.
        constraint_violation: returns how far each bound is violated: `constraint_violations`.
        first: the metric that ranks, of several; None is the first.
    """

    def __init__(
        self,
        metrics: Metrics,
        values: Callable[[Candidate], Sequence[float] | None],
        constraint_violation: Callable[[Candidate], Mapping[str, float]],
        first: str | None = None,
    ) -> None:
        self._metrics, self._values, self._violations = metrics, values, constraint_violation
        self._first = 0 if first is None else names_of(metrics).index(first)

    def total_violation(self, trial: Candidate) -> float:
        """Return the sum of all constraint violations, by which Optuna's TPE orders too; 0 is feasible."""
        return sum(value for value in self._violations(trial).values() if value > 0)

    def order(self, trial: Candidate) -> tuple[float, ...]:
        """Return what sorts from best to worst: feasible trials before others, then by the metrics, one first."""
        values = self._values(trial)
        if values is None:
            return (math.inf,)
        turned = losses(self._metrics, values)
        return (self.total_violation(trial), turned[self._first], *turned)

    def best(self, trials: Iterable[Candidate]) -> Candidate | None:
        """Return the best by the first metric, of feasible ones where there are any; it is always on the front."""
        return min(trials, key=self.order, default=None)

    def front(self, trials: Iterable[Candidate]) -> list[Candidate]:
        """Return the trials that no other is at least as good as in every metric and better in one, best first.

        Where none is feasible, it is the one that is nearest to it. Of a single metric it is the best alone.
        """
        ordered = sorted(trials, key=self.order)
        feasible = [trial for trial in ordered if not self.total_violation(trial)]
        if not feasible or len(names_of(self._metrics)) == 1:
            return ordered[:1]
        kept: list[Candidate] = []
        for trial in feasible:  # none of the later ones can dominate an earlier one
            if not any(_dominates(self.order(other), self.order(trial)) for other in kept):
                kept.append(trial)
        return kept


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
