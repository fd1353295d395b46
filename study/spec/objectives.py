"""Objectives of a search: one metric or several, and constraints on others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from pydantic import Field, model_validator

from trainables.core.config import StrictModel
from trainables.core.errors import unknown_name
from trainables.core.metric_names import METRICS, Direction

Metrics = str | tuple[str, ...]
"""Type of ``search.metric``: one name or several."""

Candidate = TypeVar("Candidate")


class Bounds(StrictModel):
    """Bounds on a metric at a trial's selected epoch, in the metric's own unit; the ends are allowed."""

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
    """Return the metrics as a tuple; the first ranks trials and is shown where only one can be.

    >>> names_of("few"), names_of(("many", "few"))
    (('few',), ('many', 'few'))
    """
    return (metrics,) if isinstance(metrics, str) else metrics


def checked_metrics(metrics: Metrics) -> Metrics:
    """Return known metrics; a list of one becomes a single name.

    Raises:
        BadInput: a metric is unknown; the nearest name is given.
        ValueError: no metric is named, or one is named twice.
    """
    names = names_of(metrics)
    for name in names:
        check_known(name)
    if not names or len(set(names)) < len(names):
        raise ValueError(f"must name at least one metric and none twice, got {list(names)}")
    return names[0] if len(names) == 1 else names


def check_known(name: str) -> None:
    """Raise BadInput, with the nearest name, for an unknown metric."""
    if name not in METRICS:
        raise unknown_name("metric", name, METRICS)


def directions(metrics: Metrics) -> list[Direction]:
    """Return ``maximize`` or ``minimize`` for every metric."""
    return [METRICS[name][1] for name in names_of(metrics)]


def losses(metrics: Metrics, values: Sequence[float]) -> tuple[float, ...]:
    """Return values with the sign changed where larger is better, so that smaller is always better.

    >>> losses(("few", "loss"), (0.5, 2.0))
    (-0.5, 2.0)
    """
    grows = (direction == "maximize" for direction in directions(metrics))
    return tuple(-value if up else value for up, value in zip(grows, values, strict=True))


def constraint_violations(constraints: Mapping[str, Bounds], result: Mapping[str, float]) -> dict[str, float]:
    """Return each bound's constraint violation in the metric's unit, at most 0 if satisfied, as Optuna expects.

    >>> constraint_violations({"many": Bounds(min=0.75)}, {"many": 0.5})
    {'many.min': 0.25}
    """
    found = {}
    for name, bounds in constraints.items():
        value = float(result[name])
        if bounds.min is not None:
            found[f"{name}.min"] = bounds.min - value
        if bounds.max is not None:
            found[f"{name}.max"] = value - bounds.max
    return found


def not_numbers(values: Mapping[str, float]) -> list[str]:
    """Return the names of values that are NaN."""
    return [name for name, value in values.items() if math.isnan(value)]


class Ranking(Generic[Candidate]):
    """Orders trials from best to worst by their metrics and constraint violations.

    Args:
        metrics: the study's metrics.
        values: returns a trial's objective values, in the order of ``metrics``.
        constraint_violation: returns a trial's violation of each bound, as `constraint_violations` does.
        first: the metric to rank by if there are several; None takes the first.
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
        """Return a sort key, best first: feasible trials before others, then the ranking metric, then the others."""
        values = self._values(trial)
        if values is None:
            return (math.inf,)
        turned = losses(self._metrics, values)
        return (self.total_violation(trial), turned[self._first], *turned)

    def best(self, trials: Iterable[Candidate]) -> Candidate | None:
        """Return the best trial by the ranking metric, feasible ones first; it is always on the Pareto front."""
        return min(trials, key=self.order, default=None)

    def front(self, trials: Iterable[Candidate]) -> list[Candidate]:
        """Return the Pareto front, best first.

        Without feasible trials it is the trial with the smallest total violation. For a single metric it is the best
        trial.
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
