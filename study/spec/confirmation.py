"""Confirmation: which settings of a cell are trained again, with which seeds, once the search is over."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from study.spec.cell import Cell
from study.spec.study_spec import StudySpec
from trainables.core.errors import BadInput

CONFIRM = "confirm"
"""Phase of the trials that confirm; the other is ``search``. Also the name of their folder below the cell's."""

_FIRST_SEED = 10_000
"""Added to the study's seed: no trial of a search has one of these, so that no luck of a seed is confirmed."""


@dataclass(frozen=True)
class Setting:
    """Values of a cell that are confirmed, and what they are: ``best``, ``preset``, or both."""

    names: tuple[str, ...]
    params: dict[str, Any]


def seeds_of(spec: StudySpec) -> list[int]:
    """Return the seeds of a study's confirmation; the first ones stay when their number is raised."""
    count = spec.confirm.seeds if spec.confirm is not None else 0
    return [spec.seed + _FIRST_SEED + index for index in range(count)]


def settings_of(cell: Cell, best: dict[str, Any] | None) -> list[Setting]:
    """Return what is confirmed of a cell.

    Args:
        cell: the cell.
        best: values of its best trial; None where no trial of it is complete.
    """
    preset = cell.preset_params()
    if best is None:
        return [Setting(("preset",), preset)]
    if same_params(best, preset):
        return [Setting(("best", "preset"), preset)]
    return [Setting(("best",), best), Setting(("preset",), preset)]


def same_params(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two settings are the same, but for what translating a number to Optuna's and back rounds.

    >>> same_params({"beta": 0.9999}, {"beta": 1 - (1 - 0.9999)}), same_params({"scale": 30}, {"scale": 64})
    (True, False)
    """
    return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())


def _same(one: Any, other: Any) -> bool:
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (one, other))
    return math.isclose(one, other, rel_tol=1e-12) if numbers else type(one) is type(other) and one == other


def settings_at_most(cell: Cell) -> int:
    """Return how many settings will be confirmed as far as is known before the search is over."""
    return 2 if cell.space else 1


def check_confirmation(before: StudySpec, after: StudySpec) -> None:
    """Refuse to take back, or to choose by other means, what a study confirms; it may be added and have more seeds.

    Raises:
        BadInput: fewer seeds, or another metric.
    """
    if before.confirm is None:
        return
    seeds = after.confirm.seeds if after.confirm is not None else 0
    if seeds < before.confirm.seeds:
        raise BadInput(f"--set confirm.seeds={seeds}: must be at least {before.confirm.seeds}, as before")
    metric = after.confirm.metric if after.confirm is not None else None
    if metric != before.confirm.metric:
        raise BadInput(f"--set confirm.metric={metric}: must stay {before.confirm.metric}: test results may be known")
