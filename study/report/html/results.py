"""The results that the page shows: on test images where the study is confirmed, else on validation images."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from study.report.confirmed_results import Table, confirmed_tables, rows_of
from study.report.cross_validation import folded_settings
from study.report.significance import holm, paired, race_test
from study.search.sequential_test import SequentialTTest
from study.spec.cell import baseline_of
from study.spec.study_spec import StudySpec
from study.store.study_view import CellView, StudyView
from trainables.core.errors import unknown_name
from trainables.core.metric_names import METRICS

LEVEL = 0.05
"""Level of every test on the page, unless a race of seeds has another one."""

_NOT_RATES = ("loss", "train_loss", "false_positive_distance")


@dataclass(frozen=True)
class Unit:
    """How a metric is written: rates in percent and their differences in points, other metrics as they are."""

    metric: str

    @property
    def is_rate(self) -> bool:
        """True if the metric is a share of images or a mean of such shares."""
        return self.metric not in _NOT_RATES

    @property
    def scale(self) -> float:
        """Factor from stored to shown values."""
        return 100.0 if self.is_rate else 1.0

    @property
    def name(self) -> str:
        """The metric in words."""
        return self.metric.replace("_", " ")

    @property
    def axis(self) -> str:
        """The label of an axis."""
        return f"{self.name} (%)" if self.is_rate else self.name

    @property
    def points(self) -> str:
        """The unit of a difference, with a leading space; empty for a metric that is no rate."""
        return " points" if self.is_rate else ""

    def value(self, value: float) -> str:
        """Write a value; empty if it is not finite."""
        return (f"{value * self.scale:.{self._digits}f}") if math.isfinite(value) else ""

    def change(self, value: float) -> str:
        """Write a difference with its sign."""
        return f"{value * self.scale:+.{self._digits}f}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else ""

    @property
    def _digits(self) -> int:
        return 1 if self.is_rate else 4


@dataclass(frozen=True)
class Score:
    """The results of one method at one place.

    Attributes:
        method: its label.
        values: seed, or fold, -> metric; a single entry for the best trial of an unconfirmed search.
        missing: confirmation trials that failed or have not ended.
    """

    method: str
    values: dict[int, float]
    missing: int = 0

    @property
    def n(self) -> int:
        """Number of finite values."""
        return sum(map(math.isfinite, self.values.values()))

    @property
    def mean(self) -> float:
        """Mean of the finite values; NaN without one."""
        finite = [value for value in self.values.values() if math.isfinite(value)]
        return statistics.fmean(finite) if finite else math.nan

    @property
    def deviation(self) -> float:
        """Sample standard deviation (n - 1); NaN with fewer than two values."""
        finite = [value for value in self.values.values() if math.isfinite(value)]
        return statistics.stdev(finite) if len(finite) > 1 else math.nan


@dataclass(frozen=True)
class Lead:
    """The lead of one method over another at one place.

    It holds the mean and the deviation of the paired differences, and the p value after Holm.
    ``gain`` is positive where the first method is better, also for a metric that is minimised.
    """

    method: str
    against: str
    n: int
    gain: float
    deviation: float
    p: float | None
    level: float = LEVEL

    @property
    def significant(self) -> bool:
        """True if the two methods differ significantly."""
        return self.p is not None and self.p < self.level

    @property
    def better(self) -> bool:
        """True if the first method is significantly better."""
        return self.significant and self.gain > 0

    @property
    def worse(self) -> bool:
        """True if the first method is significantly worse."""
        return self.significant and self.gain < 0


@dataclass(frozen=True)
class Place:
    """One data set and profile with the results of its methods; the folds of a cross-validation are one place.

    Attributes:
        dataset: label of the data set.
        profile: name of the profile, without the fold.
        family: the profile without its ratio: profiles of one family form a line.
        ratio: the imbalance ratio.
        cells: method -> its cells: one, or one per fold.
        scores: method -> its results, for the methods that have any.
        maximize: True if a larger value of the metric is better.
        tests: every other method against the baseline, corrected over the methods; empty without tests.
        testable: True if values may be tested: of seeds on test images. Folds share training images, and single trials
            have no spread.
        race: the test of a race of seeds; None without a race.
        level: level of the tests.
    """

    dataset: str
    profile: str
    family: str
    ratio: float
    cells: dict[str, tuple[CellView, ...]]
    scores: dict[str, Score]
    maximize: bool
    tests: tuple[Lead, ...] = ()
    testable: bool = True
    race: SequentialTTest | None = None
    level: float = LEVEL

    @property
    def name(self) -> str:
        """Data set and profile."""
        return f"{self.dataset} {self.profile}"

    @property
    def group(self) -> tuple[str, str]:
        """What the places of one line share: data set and family."""
        return self.dataset, self.family

    def ranked(self) -> list[Score]:
        """Return the results from best to worst."""
        known = [score for score in self.scores.values() if math.isfinite(score.mean)]
        return sorted(known, key=lambda score: -score.mean if self.maximize else score.mean)

    @cached_property
    def against_best(self) -> dict[str, Lead]:
        """Every method but the best, tested against the best, corrected over the methods; empty without tests."""
        if not self.testable:
            return {}
        best, *others = self.ranked() or [Score("", {})]
        return {test.method: test for test in leads_of(others, best, self.maximize, self.race, self.level)}

    def marks(self, method: str) -> str:
        """Return ``best``, ``level`` (not significantly worse than the best), ``worse``, or nothing if not tested."""
        ranked = self.ranked()
        if ranked and ranked[0].method == method:
            return "best"
        test = self.against_best.get(method)
        return "" if test is None or test.p is None else "worse" if test.worse else "level"


@dataclass(frozen=True)
class Results:
    """Everything that the page says of methods at places.

    Attributes:
        view: the stored study.
        metric: the metric of every value.
        images: ``test`` or ``validation``.
        over: what the values of a score differ in: ``seeds``, ``folds``, or ``trial`` for single best trials.
        baseline: label of the method that the others are tested against, or None.
        places: in the order of the study file.
    """

    view: StudyView
    metric: str
    images: str
    over: str
    baseline: str | None
    places: tuple[Place, ...]

    @property
    def unit(self) -> Unit:
        """How the metric is written."""
        return Unit(self.metric)

    @property
    def maximize(self) -> bool:
        """True if a larger value is better."""
        return METRICS[self.metric][1] == "maximize"

    @property
    def methods(self) -> list[str]:
        """Labels of all methods, in the order of the study file."""
        return list(dict.fromkeys(cell.cell.method for cell in self.view.cells))

    @property
    def by_mean_position(self) -> list[str]:
        """The methods by their mean position over the places, best first; a missing result counts as last."""
        last = len(self.methods)
        positions = dict.fromkeys(self.methods, 0)
        for place in self.places:
            order = {score.method: position for position, score in enumerate(place.ranked())}
            for method in positions:
                positions[method] += order.get(method, last)
        return sorted(positions, key=lambda method: positions[method])

    @property
    def groups(self) -> dict[tuple[str, str], list[Place]]:
        """The places of each data set and family of profiles, by rising ratio."""
        found: dict[tuple[str, str], list[Place]] = {}
        for place in self.places:
            found.setdefault(place.group, []).append(place)
        return {group: sorted(places, key=lambda place: place.ratio) for group, places in found.items()}

    @property
    def level(self) -> float:
        """Level of the tests."""
        return level_of(self.view.spec)

    @property
    def raced(self) -> bool:
        """True if a race decided how many seeds each method got."""
        confirm = self.view.spec.confirm
        return confirm is not None and confirm.race is not None

    @property
    def most(self) -> int:
        """The largest number of seeds of any result; 0 without one."""
        return max((score.n for place in self.places for score in place.ranked()), default=0)

    @property
    def fewest(self) -> int:
        """The smallest number of seeds of any result; 0 without one."""
        return min((score.n for place in self.places for score in place.ranked()), default=0)

    @property
    def hardest(self) -> Place | None:
        """The place with the largest ratio that has a result; the first one of several."""
        known = [place for place in self.places if place.ranked()]
        return max(known, key=lambda place: place.ratio, default=None)

    def said(self, place: Place) -> str:
        """Name a place in a sentence, with the data set and the profile where the study has several."""
        groups = list(self.groups)
        family = "" if len({family for _, family in groups}) == 1 else f" {place.family}"
        dataset = "" if len({dataset for dataset, _ in groups}) == 1 else f"{place.dataset}, "
        return f"{dataset}{family.strip()}{' ' if family else ''}ratio {place.ratio:g}"


def leads_of(
    scores: Iterable[Score],
    against: Score,
    maximize: bool,
    race: SequentialTTest | None = None,
    level: float = LEVEL,
) -> list[Lead]:
    """Test methods against another over their common seeds: paired t tests, corrected by Holm over the methods.

    In a race of seeds its sequential p values are corrected.
    """
    sign, found = (1.0 if maximize else -1.0), []
    for score in scores:
        if score.method != against.method:
            found.append((score, paired(score.values, against.values, race)))
    corrected = holm([pair.t_test for _, pair in found])
    return [
        Lead(score.method, against.method, pair.n, sign * pair.difference, _spread(score, against), p, level)
        for (score, pair), p in zip(found, corrected, strict=True)
    ]


def _spread(first: Score, second: Score) -> float:
    common = first.values.keys() & second.values.keys()
    finite = [d for seed in common if math.isfinite(d := first.values[seed] - second.values[seed])]
    return statistics.stdev(finite) if len(finite) > 1 else math.nan


def level_of(spec: StudySpec) -> float:
    """Return the level of the tests of a study: what a race leaves of its confidence, else `LEVEL`."""
    race = spec.confirm.race if spec.confirm is not None else None
    return LEVEL if race is None else round(1 - race.confidence, 12)


def results_of(view: StudyView, *, metric: str | None = None, baseline: str | None = None) -> Results:
    """Collect the results of a study.

    Args:
        view: the stored study.
        metric: the metric to show; None is the study's own.
        baseline: label of the method to test against; None is the first ERM, if there is one.

    Raises:
        BadInput: unknown metric or method.
    """
    labels = [cell.cell.method for cell in view.cells]
    if baseline is not None and baseline not in labels:
        raise unknown_name("method of the study:", baseline, list(dict.fromkeys(labels)))
    if metric is not None and (metric not in METRICS or metric == "train_loss"):
        raise unknown_name("metric of the page:", metric, [name for name in METRICS if name != "train_loss"])
    tables: list[Table] = []
    if view.spec.confirm is not None:
        tables = confirmed_tables(view, metric=metric, baseline=baseline)
    confirmed = any(row.n for table in tables for row in table.rows)
    searched = view.spec.search.metrics[0]
    shown = metric or (tables[0].metric if tables else "balanced_accuracy" if searched == "train_loss" else searched)
    folded = any(cell.cell.base.data.folds is not None for cell in view.cells)
    over = "seeds" if confirmed else "folds" if folded else "trial"
    maximize, race, level = METRICS[shown][1] == "maximize", race_test(view.spec.confirm), level_of(view.spec)
    against = baseline or baseline_of(cell.cell for cell in view.cells)
    places = []
    for cells in _places(view):
        found = {
            method: _confirmed_score(view, own[0], shown) if confirmed else _searched_score(own, shown)
            for method, own in cells.items()
        }
        scores = {method: score for method, score in found.items() if score is not None}
        first = next(iter(cells.values()))[0]
        tests = (
            leads_of(scores.values(), scores[against], maximize, race, level) if confirmed and against in scores else []
        )
        about = first.cell.dataset, *_profile(first)
        places.append(Place(*about, cells, scores, maximize, tuple(tests), confirmed, race, level))
    return Results(view, shown, "test" if confirmed else "validation", over, against, tuple(places))


def _places(view: StudyView) -> list[dict[str, tuple[CellView, ...]]]:
    """Group the cells: place -> method -> cells, all in the order of the study file."""
    found: dict[str, dict[str, list[CellView]]] = {}
    for cell in view.cells:
        place = cell.cell.name_without_fold.rpartition("/")[0]
        found.setdefault(place, {}).setdefault(cell.cell.method, []).append(cell)
    return [{method: tuple(cells) for method, cells in own.items()} for own in found.values()]


def _profile(view: CellView) -> tuple[str, str, float]:
    """Return a profile's name without its fold, its family and its ratio."""
    cell = view.cell
    profile = cell.name_without_fold.split("/")[1]
    if cell.base.data.profile.kind != "natural":
        return profile, profile.removesuffix(f"-{cell.ratio:g}"), cell.ratio
    counts = next((found["class_counts"] for trial in view.trials if (found := trial.evaluation()) is not None), [1])
    return profile, profile, max(counts) / max(1, min(counts))


def _confirmed_score(view: StudyView, cell: CellView, metric: str) -> Score | None:
    row = next((row for row in rows_of(view, cell) if row.setting == "best"), None)
    return None if row is None else Score(cell.cell.method, dict(row.by_seed.get(metric, {})), row.missing)


def _searched_score(cells: tuple[CellView, ...], metric: str) -> Score | None:
    """Return the best trial's value on validation images; of folds, those of the best setting that all have trained."""
    method = cells[0].cell.method
    if cells[0].cell.base.data.folds is None:
        best = cells[0].best()
        found = {} if best is None else {best.number: best.result().get(metric)}
    else:
        settings = folded_settings(cells)
        trials = settings[0].trials if settings else ()
        of_study = metric == cells[0].metric
        found = {k: t.value if of_study else t.result().get(metric) for k, t in enumerate(trials)}
    values = {key: float(value) for key, value in found.items() if value is not None}
    return Score(method, values) if values else None
