"""Confirmed results: means over seeds on the test images, and paired tests between settings."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from study.report.precisions import Precisions, precisions_of
from study.report.significance import Paired, differences, holm, paired, race_test
from study.search.racing import Decision, decided
from study.spec.cell import baseline_of
from study.spec.confirm_spec import ConfirmSpec, RaceSpec
from study.spec.confirmed_settings import confirmed_metric
from study.store.study_view import CellView, StudyView
from study.store.trial_view import read_ahead
from trainables.core.errors import BadInput, unknown_name
from trainables.core.metric_names import METRICS

TEST_METRICS = ("balanced_accuracy", "geometric_mean", "many", "medium", "few")
"""Test metrics that every table shows."""


@dataclass(frozen=True)
class Row:
    """The confirmed results of one setting of a method.

    Attributes:
        method: its label.
        setting: ``best`` or ``preset``.
        shared: True if best and preset are the same setting, which is trained once.
        by_seed: metric -> seed -> value on the test images.
        params: the searched params.
        missing: number of its trials that failed or have not ended.
        epochs: seed -> the epoch whose weights were evaluated.
    """

    method: str
    setting: str
    shared: bool
    by_seed: dict[str, dict[int, float]]
    params: dict[str, Any]
    missing: int
    epochs: dict[int, int]

    @property
    def n(self) -> int:
        """Number of evaluated seeds."""
        return len(self.by_seed["balanced_accuracy"])

    def mean(self, metric: str) -> float:
        """Return the mean over seeds; NaN without seeds or for an empty group of classes."""
        values = self.by_seed.get(metric, {}).values()
        return statistics.fmean(values) if values else math.nan

    def deviation(self, metric: str) -> float:
        """Return the sample standard deviation over seeds (n - 1); NaN with fewer than two seeds."""
        values = self.by_seed.get(metric, {}).values()
        return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else math.nan


@dataclass(frozen=True)
class Comparison:
    """A paired test of one method against a baseline or its own preset, with Holm-corrected p values.

    Attributes:
        method: its label.
        against: the baseline's label, or ``preset`` if the best setting is compared with the method's preset.
        found: difference and p values.
        t_holm: p value of the t test, corrected over the methods of the table; None without a test.
        wilcoxon_holm: the same for the signed-rank test.
        decision: in a race of seeds, what is decided of the two; None elsewhere, and against a preset, which does not
            race.
    """

    method: str
    against: str
    found: Paired
    t_holm: float | None
    wilcoxon_holm: float | None
    decision: Decision | None = None


@dataclass(frozen=True)
class Table:
    """All confirmed results on one data set and profile; ``precisions`` are those of all trials there.

    ``select`` is ``last`` or ``best``: the epoch of each trial whose weights were evaluated. ``test_images`` says where
    test images come from; None if from a test split of the data set. ``race`` is the race of seeds that decided
    how many seeds each setting got, or None.
    """

    dataset: str
    profile: str
    protocol: str
    metric: str
    rows: tuple[Row, ...]
    against_baseline: tuple[Comparison, ...]
    against_preset: tuple[Comparison, ...]
    precisions: Precisions
    select: str
    test_images: str | None = None
    race: RaceSpec | None = None


def confirmed_tables(view: StudyView, *, metric: str | None = None, baseline: str | None = None) -> list[Table]:
    """Return one table per data set and profile; methods are sorted by their confirmed best, best first.

    Args:
        view: the study.
        metric: the metric to test; None is the metric of the confirmation, else of the search.
        baseline: label of the method to test against; None is the first ERM.

    Raises:
        BadInput: the study has no confirmation, or an unknown metric or method.
    """
    if view.spec.confirm is None:
        raise BadInput(
            f"study '{view.spec.name}' has no confirmation: `{view.folder.command('resume')} --set confirm.seeds=5` "
            f"retrains the best and the preset setting of each cell and evaluates them on the test images"
        )
    tested = metric or confirmed_metric(view.spec)
    if tested not in METRICS or tested == "train_loss":
        raise unknown_name("metric of test images:", tested, [name for name in METRICS if name != "train_loss"])
    read_ahead(trial for cell in view.cells for trial in cell.confirming)
    labels = {cell.cell.method for cell in view.cells}
    if baseline is not None and baseline not in labels:
        raise unknown_name("method of the study:", baseline, labels)
    places = groupby(view.cells, key=lambda cell: (cell.cell.dataset, cell.cell.profile))
    return [_table(view, list(cells), tested, baseline) for _, cells in places]


def rows_of(view: StudyView, cell: CellView) -> list[Row]:
    """Return the confirmed rows of a cell, for its best and its preset setting, as the search stands now."""
    rows = []
    for setting in cell.settings(view.spec):
        seeds = cell.seeds_wanted(view.spec, setting)
        found = {trial.confirms: trial.tested() for trial in cell.confirmed(setting) if trial.state == "COMPLETE"}
        tested = {seed: test["metrics"] for seed, test in found.items() if seed is not None and test is not None}
        epochs = {seed: int(test["epoch"]) for seed, test in found.items() if seed is not None and test is not None}
        names = [name for name in METRICS if name != "train_loss"]
        by_seed = {name: {seed: float(m[name]) for seed, m in tested.items() if name in m} for name in names}
        shared = len(setting.names) > 1
        rows += [
            Row(cell.cell.method, name, shared, by_seed, setting.params, max(0, seeds - len(tested)), epochs)
            for name in setting.names
        ]
    return rows


def _table(view: StudyView, cells: list[CellView], metric: str, baseline: str | None) -> Table:
    rows = {cell.cell.method: {row.setting: row for row in rows_of(view, cell)} for cell in cells}
    against = baseline or baseline_of(cell.cell for cell in cells)
    order = sorted(rows, key=lambda method: _rank(rows[method].values(), metric))
    first, confirm = cells[0].cell, view.spec.confirm
    race = confirm if confirm is not None and confirm.race is not None else None
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
            race,
        ),
        _tests(
            [method for method in order if not any(row.shared for row in rows[method].values())],
            "preset",
            lambda method: (rows[method].get("best"), rows[method].get("preset")),
            metric,
            None,  # presets get the first seeds alone, whatever the results
        ),
        precisions_of(cells),
        view.spec.search.select,
        next((found for cell in cells for trial in cell.confirming[:1] if (found := trial.test_images)), None),
        race=confirm.race if confirm is not None else None,
    )


def _rank(rows: Iterable[Row], metric: str) -> float:
    mean = next((row.mean(metric) for row in rows), math.nan)
    loss = -mean if METRICS[metric][1] == "maximize" else mean
    return loss if math.isfinite(loss) else math.inf


def _tests(
    methods: list[str],
    against: str,
    settings: Callable[[str], tuple[Row | None, Row | None]],
    metric: str,
    race: ConfirmSpec | None,
) -> tuple[Comparison, ...]:
    values = {}
    for method in methods:
        first, second = settings(method)
        if first is not None and second is not None:
            values[method] = first.by_seed.get(metric, {}), second.by_seed.get(metric, {})
    test = race_test(race)
    found = [paired(first, second, test) for first, second in values.values()]
    t_tests, wilcoxons = holm([f.t_test for f in found]), holm([f.wilcoxon for f in found])
    decisions: list[Decision | None] = [None] * len(found)
    if race is not None:
        decisions = [*decided(race, [differences(first, second) for first, second in values.values()])]
    corrected = zip(values, found, t_tests, wilcoxons, decisions, strict=True)
    return tuple(Comparison(method, against, pair, t, w, d) for method, pair, t, w, d in corrected)
