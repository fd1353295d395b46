"""Confirmation: which settings of a cell are trained again, with which seeds, once the search is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search_spaces.encoding import same_params
from study.spec.cell import Cell
from study.spec.study_spec import StudySpec
from trainables.core.errors import BadInput

CONFIRM = "confirm"
"""Phase of the trials that confirm; the other is ``search``. Also the name of their folder below the cell's."""

_FIRST_SEED = 10_000
"""Added to the study's seed: no trial of a search has one of these, so that no luck of a seed is confirmed."""


@dataclass(frozen=True)
class Setting:
    """Params of a cell that are confirmed, and what they are: ``best``, ``preset``, or both."""

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
        best: natural params of its best trial; None where no trial of it is complete.
    """
    preset = cell.preset_params()
    if best is None:
        return [Setting(("preset",), preset)]
    if same_params(best, preset):
        return [Setting(("best", "preset"), preset)]
    return [Setting(("best",), best), Setting(("preset",), preset)]


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
