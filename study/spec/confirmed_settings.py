"""Confirmation: the settings of a cell that are trained again after the search, and their seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from search_spaces.encoding import same_params
from study.spec.cell import Cell
from study.spec.study_spec import StudySpec
from trainables.core.errors import BadInput

CONFIRM = "confirm"
"""Phase of confirmation trials (the other is ``search``), and the name of their folder below the cell's."""

_FIRST_SEED = 10_000
"""Added to the study's seed: no search trial has such a seed, so confirmation does not repeat a lucky seed."""


@dataclass(frozen=True)
class Setting:
    """Params of a cell to confirm, and their roles: ``best``, ``preset``, or both."""

    names: tuple[str, ...]
    params: dict[str, Any]


def seeds_of(spec: StudySpec) -> list[int]:
    """Return the seeds of a study's confirmation; of a race, all that it may ask for.

    Raising their number keeps the first ones.
    """
    count = spec.confirm.seeds_at_most if spec.confirm is not None else 0
    return [spec.seed + _FIRST_SEED + index for index in range(count)]


def confirmed_metric(spec: StudySpec) -> str:
    """Return the metric of a study's confirmation, else of its search; balanced accuracy for the training loss."""
    chosen = spec.confirm.metric if spec.confirm is not None else None
    wanted = chosen or spec.search.metrics[0]
    return wanted if wanted != "train_loss" else "balanced_accuracy"


def settings_of(cell: Cell, best: dict[str, Any] | None) -> list[Setting]:
    """Return the settings to confirm in a cell.

    Args:
        cell: the cell.
        best: natural params of its best trial; None if no trial is complete.
    """
    preset = cell.preset_params()
    if best is None:
        return [Setting(("preset",), preset)]
    if same_params(best, preset):
        return [Setting(("best", "preset"), preset)]
    return [Setting(("best",), best), Setting(("preset",), preset)]


def settings_at_most(spec: StudySpec, cell: Cell) -> int:
    """Return an upper bound on the number of settings to confirm, before the search is over.

    A cell's first trial has its preset's setting, so a search of one trial finds no other.
    """
    preset_alone = spec.search.trials == 1 and spec.search.budget == "trials"
    return 1 if preset_alone or not cell.space else 2


def confirmed_at_most(spec: StudySpec, cell: Cell) -> int:
    """Return an upper bound on the number of a cell's confirmation trials, before the search is over."""
    if spec.confirm is None:
        return 0
    return spec.confirm.seeds_at_most + spec.confirm.seeds * (settings_at_most(spec, cell) - 1)


def confirmations_are_known(spec: StudySpec, cells: Iterable[Cell]) -> bool:
    """Return True if `confirmed_at_most` is exact: nothing is confirmed, or no cell may confirm a second setting.

    The number of trials of a race is known only at its end.
    """
    if spec.confirm is None:
        return True
    return spec.confirm.race is None and all(settings_at_most(spec, cell) == 1 for cell in cells)


def check_confirmation(before: StudySpec, after: StudySpec) -> None:
    """Refuse a resume that reduces a study's confirmation or selects its settings by another metric.

    Adding a confirmation or more seeds is allowed. A race is planned before it begins: its error rate holds for the
    looks that were planned.

    Raises:
        BadInput: fewer seeds, another metric, or another race.
    """
    if before.confirm is None:
        return
    planned, race = before.confirm.race, after.confirm.race if after.confirm is not None else None
    if race != planned:
        was, now = ("null" if one is None else str(one.model_dump()) for one in (planned, race))
        raise BadInput(f"--set confirm.race={now}: must stay {was}: test results may be known")
    if planned is not None and after.confirm is not None and after.confirm.seeds != before.confirm.seeds:
        raise BadInput(
            f"--set confirm.seeds={after.confirm.seeds}: a race keeps its {before.confirm.seeds} first seeds: "
            "test results may be known"
        )
    seeds = after.confirm.seeds if after.confirm is not None else 0
    if seeds < before.confirm.seeds:
        raise BadInput(f"--set confirm.seeds={seeds}: must be at least {before.confirm.seeds}, as before")
    metric = after.confirm.metric if after.confirm is not None else None
    if metric != before.confirm.metric:
        raise BadInput(f"--set confirm.metric={metric}: must stay {before.confirm.metric}: test results may be known")
