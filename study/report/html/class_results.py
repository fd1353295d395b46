"""Recall per class and confusion of every method at a place, and the class that gained most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from study.report.cross_validation import folded_settings
from study.report.html.results import Place, Results
from study.report.significance import paired
from study.search.sequential_test import SequentialTTest
from study.store.study_view import CellView, TrialView

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassResults:
    """Recall and confusion per class at one place.

    Attributes:
        names: of the classes, (C,).
        counts: training images of each class, (C,).
        recall: method -> recall per seed and class, (S, C).
        confusion: method -> confusion matrix as shares of the true class, mean over seeds, (C, C).
        seeds: method -> its seeds, in the order of its recall, (S,).
    """

    names: list[str]
    counts: list[int]
    recall: dict[str, Floats]
    confusion: dict[str, Floats]
    seeds: dict[str, list[int]]

    def gain(self, method: str, against: str) -> Floats:
        """Return the change of recall per class over the common seeds, (S, C); of the means without a common seed."""
        common = [seed for seed in self.seeds[method] if seed in self.seeds[against]]
        if not common:
            means = (self.recall[name].mean(axis=0, keepdims=True) for name in (method, against))
            return np.asarray(np.subtract(*means))
        own, other = (
            self.recall[name][[self.seeds[name].index(seed) for seed in common]] for name in (method, against)
        )
        return np.asarray(own - other)


@dataclass(frozen=True)
class ClassGain:
    """The class whose recall rose most from one method to another: mean and deviation over seeds, as shares."""

    name: str
    count: int
    before: float
    after: float
    deviation: float
    p: float | None
    seeds: int


@dataclass(frozen=True)
class ConfusionChange:
    """Confusion of ``method`` minus that of ``against`` as shares of the true class, (C, C), frequent classes first."""

    place: str
    method: str
    against: str
    names: list[str]
    difference: Floats


def class_results_of(results: Results, place: Place) -> ClassResults | None:
    """Read recall and confusion of the trials that stand for each method at a place; None without any.

    On test images these are the confirmation trials of the best setting; on validation images the best trial as of its
    last epoch, or with folds the trials of the best setting that all folds have trained.
    """
    names: list[str] = []
    counts: list[int] = []
    recall: dict[str, Floats] = {}
    confusion: dict[str, Floats] = {}
    seeds: dict[str, list[int]] = {}
    for method, cells in place.cells.items():
        found = [
            (seed, stored)
            for seed, trial in _trials(results, cells)
            if (stored := trial.tested() if results.images == "test" else trial.evaluation()) is not None
        ]
        found = [(seed, stored) for seed, stored in found if not counts or len(stored["recall"]) == len(counts)]
        if not found:
            continue
        if not counts:
            names, counts = list(map(str, found[0][1]["class_names"])), list(found[0][1]["class_counts"])
        recall[method] = np.array([_numbers(stored["recall"]) for _, stored in found])
        confusion[method] = np.mean([_shares(stored["confusion"]) for _, stored in found], axis=0)
        seeds[method] = [seed for seed, _ in found]
    return ClassResults(names, counts, recall, confusion, seeds) if counts else None


def _trials(results: Results, cells: Sequence[CellView]) -> list[tuple[int, TrialView]]:
    cell = cells[0]
    if results.images == "test":
        best = next((setting for setting in cell.settings(results.view.spec) if "best" in setting.names), None)
        trials = [] if best is None else cell.confirmed(best)
        return [(trial.confirms or 0, trial) for trial in trials if trial.state == "COMPLETE"]
    if cell.cell.base.data.folds is not None:
        settings = folded_settings(cells)
        return list(enumerate(settings[0].trials)) if settings else []
    best_trial = cell.best()
    return [] if best_trial is None else [(0, best_trial)]


def _numbers(values: list[Any]) -> list[float]:
    """Return recalls as numbers; a class without images has none."""
    return [float("nan") if value is None else float(value) for value in values]


def _shares(confusion: list[list[int]]) -> Floats:
    matrix = np.asarray(confusion, dtype=np.float64)
    return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))


def most_gained(
    found: ClassResults, method: str, against: str, *, tested: bool = True, race: SequentialTTest | None = None
) -> ClassGain | None:
    """Return the class whose mean recall rose most from one method to another; None if none rose.

    Args:
        found: the results at a place.
        method: the method that gained.
        against: the other one.
        tested: test the gain over the common seeds.
        race: the test of a race of seeds.
    """
    if method == against or method not in found.recall or against not in found.recall:
        return None
    gains = found.gain(method, against)
    mean = gains.mean(axis=0)
    if not np.isfinite(mean).any() or np.nanmax(mean) <= 0:
        return None
    best = int(np.nanargmax(mean))
    before, after = (float(found.recall[name][:, best].mean()) for name in (against, method))
    deviation = float(gains[:, best].std(ddof=1)) if len(gains) > 1 else float("nan")
    own, other = (
        dict(zip(found.seeds[name], found.recall[name][:, best].tolist(), strict=True)) for name in (method, against)
    )
    test = paired(own, other, race)
    # the class was picked among all
    p = min(1.0, test.t_test * len(found.counts)) if tested and test.t_test is not None else None
    return ClassGain(found.names[best], found.counts[best], before, after, deviation, p, len(gains))


def confusion_change(place: Place, found: ClassResults, method: str, against: str) -> ConfusionChange | None:
    """Return the change of the confusion matrix from one method to another; None where one has no result."""
    if method == against or method not in found.confusion or against not in found.confusion:
        return None
    order = np.argsort(-np.asarray(found.counts), kind="stable")
    difference = (found.confusion[method] - found.confusion[against])[np.ix_(order, order)]
    return ConfusionChange(place.name, method, against, [found.names[k] for k in order], difference)
