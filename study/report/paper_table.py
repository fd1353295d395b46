"""Results as the table of a paper: methods x data sets and profiles, with the best marked and tested."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from study.report.confirmed_results import Row, rows_of
from study.report.significance import holm, paired, race_test
from study.search.sequential_test import SequentialTTest
from study.spec.cell import Cell
from study.spec.confirmed_settings import confirmed_metric
from study.store.study_view import CellView, StudyView
from trainables.core.errors import BadInput, unknown_name
from trainables.core.metric_names import METRICS
from trainables.data.catalog import DATASETS

LEVEL = 0.05
"""A method counts as significantly worse than the best of its column below this corrected p value."""

UNITLESS = ("loss", "false_positive_distance")
"""Metrics that are no share, so that tables do not print them in percent."""


@dataclass(frozen=True)
class Value:
    """One entry of a table.

    Attributes:
        mean: mean over the seeds, in the metric's unit; NaN if the metric is not defined.
        deviation: sample standard deviation over the seeds (n - 1); NaN with fewer than two.
        n: number of seeds.
        best: True for the best mean of the column, also for one that equals it.
        p: corrected p value of the paired t test against the best of the column; None for the best itself, and where no
            test is defined.
    """

    mean: float
    deviation: float
    n: int
    best: bool = False
    p: float | None = None

    @property
    def close(self) -> bool:
        """True if the test against the best was made and found no significant difference."""
        return self.p is not None and self.p >= LEVEL


@dataclass(frozen=True)
class Column:
    """The results of one study on one data set and profile.

    Attributes:
        study: its name.
        dataset: name of the data set.
        profile: name of the imbalance profile.
        on: ``test`` for confirmed results, ``validation`` for the best trials of a search that nothing confirms.
        values: name of a row -> its value.
        protocol: where validation and test images come from.
        select: ``last`` or ``best``: the epoch of each trial whose weights were evaluated.
        test_images: where the test images come from, if not from a test split of the data set.
        heading: data set and profile as a reader knows them: ``("CIFAR-10", "ratio 100")``; None gives their names.
        raced: True if a race of seeds decided how many seeds each row got.
    """

    study: str
    dataset: str
    profile: str
    on: str
    values: dict[str, Value]
    protocol: str
    select: str
    heading: tuple[str, str] | None = None
    test_images: str | None = None
    raced: bool = False

    @property
    def head(self) -> tuple[str, str]:
        """Data set and profile for the head of a table."""
        return self.heading or (self.dataset, self.profile)


@dataclass(frozen=True)
class PaperTable:
    """Columns of one metric, and the names of the rows in the order of the study files."""

    metric: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def studies(self) -> list[str]:
        """Names of the studies, in the order of the columns."""
        return list(dict.fromkeys(column.study for column in self.columns))


def paper_table(views: Sequence[StudyView], *, metric: str | None = None, presets: bool = False) -> PaperTable:
    """Return one column for each data set and profile of every study, and one row for each method.

    Test images decide where a study has confirmed results. A study without ``confirm`` gives the best trial of each
    method on validation images, which is one seed and has no test.

    Args:
        views: the studies.
        metric: the metric to show; None is the metric of the first study's confirmation, else of its search.
        presets: give each method's preset a row of its own, where it is another setting than the best.

    Raises:
        BadInput: an unknown metric, or a study that is a cross-validation.
    """
    shown = metric or confirmed_metric(views[0].spec)
    if shown not in METRICS or shown == "train_loss":
        raise unknown_name("metric", shown, [name for name in METRICS if name != "train_loss"])
    columns = [column for view in views for column in _columns(view, shown, presets=presets)]
    # the study file's order of methods, each followed by its preset
    labels = dict.fromkeys(cell.cell.method for view in views for cell in view.cells)
    names = (name for label in labels for name in (label, preset_name(label)))
    found = {name for column in columns for name in column.values}
    return PaperTable(shown, tuple(name for name in names if name in found), tuple(columns))


def preset_name(method: str) -> str:
    """Return the name of the row that holds a method's preset."""
    return f"{method} (preset)"


def _columns(view: StudyView, metric: str, *, presets: bool) -> Iterable[Column]:
    if any(cell.cell.base.data.folds is not None for cell in view.cells):
        raise BadInput(
            f"study '{view.spec.name}' is a cross-validation, which has no table of this kind: "
            f"`study show {view.spec.name}` prints mean and deviation over the folds"
        )
    for (dataset, profile), group in groupby(view.cells, key=lambda cell: (cell.cell.dataset, cell.cell.profile)):
        cells = list(group)
        about = cells[0].cell.base.data.protocol, view.spec.search.select, _heading(cells[0].cell), _test_images(cells)
        if view.spec.confirm is None:
            values = {cell.cell.method: _validated(cell, metric) for cell in cells}
            yield Column(view.spec.name, dataset, profile, "validation", _marked(values, {}, metric), *about)
            continue
        rows = {_name(row): row for cell in cells for row in rows_of(view, cell) if _has_row(row, presets)}
        by_seed = {name: row.by_seed.get(metric, {}) for name, row in rows.items()}
        values = {name: Value(row.mean(metric), row.deviation(metric), row.n) for name, row in rows.items()}
        race = race_test(view.spec.confirm)
        marked = _marked(values, by_seed, metric, race)
        yield Column(view.spec.name, dataset, profile, "test", marked, *about, raced=race is not None)


def _test_images(cells: Sequence[CellView]) -> str | None:
    return next((trial.test_images for cell in cells for trial in cell.confirming[:1] if trial.test_images), None)


def _heading(cell: Cell) -> tuple[str, str]:
    """Return data set and profile in plain words; a label of the study file stays as it is."""
    data, profile = cell.base.data, cell.base.data.profile
    known = DATASETS.get(data.dataset)
    named = known.heading if known is not None and cell.dataset == data.dataset else cell.dataset
    if profile.kind == "natural":
        return named, "natural"
    which = "" if profile.minority == "last" or profile.kind == "long_tail" else f" of the {profile.minority} classes"
    kind = "" if profile.kind == "long_tail" else f"{profile.kind}{which}, "
    return named, f"{kind}ratio {profile.ratio:g}"


def _name(row: Row) -> str:
    return row.method if row.setting == "best" else preset_name(row.method)


def _has_row(row: Row, presets: bool) -> bool:
    return row.setting == "best" or (presets and not row.shared)


def _validated(cell: CellView, metric: str) -> Value:
    best = cell.best()
    found = None if best is None else best.result().get(metric)
    return Value(math.nan if found is None else float(found), math.nan, 0 if best is None else 1)


def _marked(
    values: dict[str, Value],
    by_seed: dict[str, dict[int, float]],
    metric: str,
    race: SequentialTTest | None = None,
) -> dict[str, Value]:
    """Mark the best mean and test every other row against it, with Holm's correction over the rows."""
    finite = {name: value.mean for name, value in values.items() if math.isfinite(value.mean)}
    if not finite:
        return values
    best = max(finite.values()) if METRICS[metric][1] == "maximize" else min(finite.values())
    first = next(name for name, mean in finite.items() if mean == best)
    others = [name for name, mean in finite.items() if mean != best]
    tests = holm([paired(by_seed.get(name, {}), by_seed.get(first, {}), race).t_test for name in others])
    p_values = dict(zip(others, tests, strict=True))
    return {
        name: Value(value.mean, value.deviation, value.n, finite.get(name) == best, p_values.get(name))
        for name, value in values.items()
    }
