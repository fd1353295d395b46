"""What was confirmed, in numbers: means over seeds on the test images, and paired tests between settings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from study.report.significance import Paired, holm, paired
from study.store.study_view import CellView, StudyView
from trainables.core.errors import BadInput, unknown_name
from trainables.core.metrics import METRICS

TEST_METRICS = ("balanced_accuracy", "geometric_mean", "many", "medium", "few")
"""Metrics of the test images that every table shows."""


@dataclass(frozen=True)
class Row:
    """A setting of a method as it was confirmed.

    Attributes:
        method: its label.
        setting: ``best`` or ``preset``.
        shared: whether best and preset are one setting, trained once.
        by_seed: metric -> seed -> value on the test images.
        params: what was searched.
        missing: trials of it that failed or are yet to end.
    """

    method: str
    setting: str
    shared: bool
    by_seed: dict[str, dict[int, float]]
    params: dict[str, Any]
    missing: int

    @property
    def n(self) -> int:
        """How many seeds were evaluated."""
        return len(self.by_seed["balanced_accuracy"])

    def mean(self, metric: str) -> float:
        """Return the mean over seeds; NaN without any, or for an empty group of classes."""
        values = self.by_seed.get(metric, {}).values()
        return statistics.fmean(values) if values else math.nan

    def deviation(self, metric: str) -> float:
        """Return the standard deviation over seeds, of a sample (n - 1); NaN with fewer than two."""
        values = self.by_seed.get(metric, {}).values()
        return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else math.nan


@dataclass(frozen=True)
class Comparison:
    """A paired test: what of a method is compared with what, and its p values after Holm's correction.

    Attributes:
        method: its label.
        against: the baseline's label, or ``preset`` where a method's own preset is compared with its best.
        found: difference and p values.
        t_holm: p of the t test, corrected over the methods of the table; None where there was no test.
        wilcoxon_holm: likewise of the signed-rank test.
    """

    method: str
    against: str
    found: Paired
    t_holm: float | None
    wilcoxon_holm: float | None


@dataclass(frozen=True)
class Table:
    """Everything confirmed of one data set and profile."""

    dataset: str
    profile: str
    protocol: str
    metric: str
    rows: tuple[Row, ...]
    against_baseline: tuple[Comparison, ...]
    against_preset: tuple[Comparison, ...]


def confirmed_tables(view: StudyView, *, metric: str | None = None, baseline: str | None = None) -> list[Table]:
    """Return a table for every data set and profile, methods from best to worst by their confirmed best.

    Args:
        view: the study.
        metric: which is tested; None is the one that confirmation or search is about.
        baseline: label of the method that others are tested against; None is the first ERM.

    Raises:
        BadInput: a study that confirms nothing, an unknown metric or method.
    """
    if view.spec.confirm is None:
        raise BadInput(
            f"study '{view.spec.name}' confirms nothing: study resume {view.spec.name} --set confirm.seeds=5 "
            f"trains its best and preset params again and evaluates them on the test images"
        )
    tested = metric or _default_metric(view)
    if tested not in METRICS or tested == "train_loss":
        raise unknown_name("metric of test images:", tested, [name for name in METRICS if name != "train_loss"])
    labels = {cell.cell.method for cell in view.cells}
    if baseline is not None and baseline not in labels:
        raise unknown_name("method of the study:", baseline, labels)
    places = groupby(view.cells, key=lambda cell: (cell.cell.dataset, cell.cell.profile))
    return [_table(view, list(cells), tested, baseline) for _, cells in places]


def _default_metric(view: StudyView) -> str:
    chosen = view.spec.confirm.metric if view.spec.confirm is not None else None
    wanted = chosen or view.spec.search.metrics[0]
    return wanted if wanted != "train_loss" else "balanced_accuracy"


def rows_of(view: StudyView, cell: CellView) -> list[Row]:
    """Return what was confirmed of a cell, its best and its preset, as the search stands now."""
    seeds = view.spec.confirm.seeds if view.spec.confirm is not None else 0
    rows = []
    for setting in cell.settings(view.spec):
        found = {trial.confirms: trial.test() for trial in cell.confirmed(setting) if trial.state == "COMPLETE"}
        tested = {seed: test["metrics"] for seed, test in found.items() if seed is not None and test is not None}
        names = [name for name in METRICS if name != "train_loss"]
        by_seed = {name: {seed: float(m[name]) for seed, m in tested.items() if name in m} for name in names}
        shared = len(setting.names) > 1
        rows += [
            Row(cell.cell.method, name, shared, by_seed, setting.params, max(0, seeds - len(tested)))
            for name in setting.names
        ]
    return rows


def _table(view: StudyView, cells: list[CellView], metric: str, baseline: str | None) -> Table:
    rows = {cell.cell.method: {row.setting: row for row in rows_of(view, cell)} for cell in cells}
    erm = next((cell.cell.method for cell in cells if cell.cell.base.method.name == "erm"), None)
    against = baseline or erm
    order = sorted(rows, key=lambda method: _rank(rows[method].values(), metric))
    first = cells[0].cell
    return Table(
        first.dataset,
        first.profile,
        first.base.data.protocol,
        metric,
        tuple(row for method in order for row in rows[method].values()),
        _tests(
            [method for method in order if method != against],
            against or "",
            lambda method: (rows[method].get("best"), rows.get(against or "", {}).get("best")),
            metric,
        ),
        _tests(
            [method for method in order if not any(row.shared for row in rows[method].values())],
            "preset",
            lambda method: (rows[method].get("best"), rows[method].get("preset")),
            metric,
        ),
    )


def _rank(rows: Iterable[Row], metric: str) -> float:
    mean = next((row.mean(metric) for row in rows), math.nan)
    loss = -mean if METRICS[metric][1] == "maximize" else mean
    return loss if math.isfinite(loss) else math.inf


def _tests(
    methods: list[str], against: str, settings: Callable[[str], tuple[Row | None, Row | None]], metric: str
) -> tuple[Comparison, ...]:
    found = []
    for method in methods:
        first, second = settings(method)
        if first is not None and second is not None:
            found.append((method, paired(first.by_seed.get(metric, {}), second.by_seed.get(metric, {}))))
    t_tests, wilcoxons = holm([f.t_test for _, f in found]), holm([f.wilcoxon for _, f in found])
    corrected = zip(found, t_tests, wilcoxons, strict=True)
    return tuple(Comparison(method, against, pair, t, w) for (method, pair), t, w in corrected)
