"""Cross-validation results: mean and deviation over the folds for each setting that all folds have trained."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from study.store.study_view import CellView, TrialView


@dataclass(frozen=True)
class FoldedSetting:
    """One setting of a method over all folds.

    Attributes:
        cell: name of the cells, without the fold.
        params: searched params, equal in all folds.
        seed: seed of the trainings, equal in all folds.
        values: the metric at the end of the complete trial of each fold, in fold order, (F,).
        trials: these trials, (F,).
    """

    cell: str
    params: dict[str, Any]
    seed: int
    values: tuple[float, ...]
    trials: tuple[TrialView, ...]

    @property
    def mean(self) -> float:
        """The mean over the folds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """The sample standard deviation over the folds (F - 1)."""
        return statistics.stdev(self.values)


def folded_settings(cells: Iterable[CellView]) -> list[FoldedSetting]:
    """Return the settings that have a complete trial in every fold, best mean of each cell first.

    Trials belong to one setting if their params and seeds are equal; of repeated trials in a fold, the first counts.

    Args:
        cells: the cells of a study, also those without folds, which are left out.
    """
    groups: dict[str, list[CellView]] = {}
    for cell in cells:
        if cell.cell.base.data.folds is not None:
            groups.setdefault(cell.cell.name_without_fold, []).append(cell)
    found: list[FoldedSetting] = []
    for name, folds in groups.items():
        found += sorted(_settings(name, folds), key=lambda one: -one.mean if folds[0].maximize else one.mean)
    return found


def _settings(name: str, cells: list[CellView]) -> list[FoldedSetting]:
    by_fold = [_first_of_each(cell) for cell in cells]
    found = []
    for key, (trial, _) in by_fold[0].items():
        if all(key in fold for fold in by_fold):
            trials, values = zip(*(fold[key] for fold in by_fold), strict=True)
            found.append(FoldedSetting(name, trial.params, _seed(trial), values, trials))
    return found


def _first_of_each(cell: CellView) -> dict[str, tuple[TrialView, float]]:
    found: dict[str, tuple[TrialView, float]] = {}
    for trial in cell.in_state("COMPLETE"):
        if trial.value is not None and math.isfinite(trial.value):
            found.setdefault(json.dumps([trial.params, _seed(trial)], sort_keys=True), (trial, trial.value))
    return found


def _seed(trial: TrialView) -> int:
    return trial.cell.trial(trial.params, trial.number).seed
