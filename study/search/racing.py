"""Racing: which settings of a table need another seed before their ranking is decided.

The decision depends only on results that were recorded, so a study that was killed and resumed decides the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from study.search.sequential_test import sequential_test
from study.spec.cell import Cell, baseline_of
from study.spec.confirm_spec import ConfirmSpec, RaceSpec
from study.spec.confirmed_settings import Setting, confirmed_metric, seeds_of
from study.spec.study_spec import StudySpec
from trainables.core.metric_names import METRICS

Pair = tuple[int, int]


@dataclass(frozen=True)
class Entrant:
    """A setting of one table, that is, of one data set and profile.

    Attributes:
        races: True for the best setting of a method; presets get the first seeds alone.
        baseline: True for the setting that the others are compared with under ``compare: baseline``.
        results: position of a seed -> the test metric; None if that trial ended without one. A trial that has not ended
            is missing.
    """

    races: bool
    baseline: bool
    results: Mapping[int, float | None]


@dataclass(frozen=True)
class RacedSetting:
    """A setting to confirm, and what the ledger knows of its trials that have ended.

    Attributes:
        cell: its cell.
        setting: its params and roles.
        tested: seed -> the metrics on the test images; None if the trial ended without any.
    """

    cell: Cell
    setting: Setting
    tested: Mapping[int, Mapping[str, float] | None]


@dataclass(frozen=True)
class Decision:
    """The result of one comparison after the seeds trained so far.

    Attributes:
        said: ``differs``, ``same`` (for practical purposes) or ``undecided``.
        half_width: half the width of the repeated confidence interval of the mean difference, corrected over the
            comparisons; infinite before the first look.
    """

    said: str
    half_width: float


def table_of(cell: Cell) -> tuple[str, str]:
    """Return data set and profile: the settings of these cells are compared with each other."""
    return cell.dataset, cell.profile


def seeds_wanted_in(spec: StudySpec, table: Sequence[RacedSetting]) -> list[int]:
    """Return for every setting of one table how many seeds it wants, as `seeds_wanted` does."""
    assert spec.confirm is not None
    metric, seeds = confirmed_metric(spec), seeds_of(spec)
    baseline = baseline_of(one.cell for one in table)
    entrants = [
        Entrant("best" in one.setting.names, one.cell.method == baseline, _by_position(one, seeds, metric))
        for one in table
    ]
    return seeds_wanted(spec.confirm, entrants, maximize=METRICS[metric][1] == "maximize")


def _by_position(one: RacedSetting, seeds: Iterable[int], metric: str) -> dict[int, float | None]:
    found = ((place, one.tested[seed]) for place, seed in enumerate(seeds) if seed in one.tested)
    return {place: None if tested is None else tested.get(metric) for place, tested in found}


def seeds_wanted(confirm: ConfirmSpec, entrants: Sequence[Entrant], *, maximize: bool) -> list[int]:
    """Return for every entrant how many of the seeds, from the first, are to be trained as far as is known now.

    All get the first ``seeds``. Once every trial asked for has ended, those in a comparison that is not decided get one
    seed more, until all are decided or ``at_most`` is reached.

    Args:
        confirm: the confirmation; without a race every entrant wants all seeds.
        entrants: the settings of one table.
        maximize: True if a larger metric is better.
    """
    wanted = [confirm.seeds] * len(entrants)
    if confirm.race is None:
        return wanted
    for done in range(confirm.seeds, confirm.race.at_most):
        asked = zip(entrants, wanted, strict=True)
        if any(position not in entrant.results for entrant, count in asked for position in range(count)):
            return wanted
        undecided = {index for pair in open_pairs(confirm, entrants, done, maximize=maximize) for index in pair}
        if not undecided:
            return wanted
        wanted = [done + 1 if index in undecided else count for index, count in enumerate(wanted)]
    return wanted


def open_pairs(confirm: ConfirmSpec, entrants: Sequence[Entrant], seeds: int, *, maximize: bool) -> list[Pair]:
    """Return the comparisons that the first ``seeds`` seeds leave undecided, as indices of entrants."""
    assert confirm.race is not None
    pairs = _compared(confirm.race, entrants)
    found = decided(confirm, [_differences(entrants[first], entrants[second], seeds) for first, second in pairs])
    undecided = [pair for pair, one in zip(pairs, found, strict=True) if one.said == "undecided"]
    if confirm.race.compare != "best":
        return undecided
    leader = _leader(entrants, seeds, maximize=maximize)
    return [pair for pair in undecided if leader in pair]


def decided(confirm: ConfirmSpec, differences: Sequence[Sequence[float]]) -> list[Decision]:
    """Decide the comparisons of one table.

    Two settings differ if the sequential p value, Holm-corrected over all comparisons of the table, is at most
    1 - ``confidence``. They are the same for practical purposes if the repeated confidence interval of the difference,
    Bonferroni-corrected, lies within ``margin`` of 0.

    Args:
        confirm: the confirmation, with a race.
        differences: of every comparison, in the order of the seeds.
    """
    assert confirm.race is not None
    race, level = confirm.race, 1 - confirm.race.confidence
    test = sequential_test(confirm.seeds, race.at_most)
    p_values = [1.0 if (p := test.p_value(found)) is None else p for found in differences]
    decisions = []
    for found, differs in zip(differences, _holm_rejects(p_values, level), strict=True):
        half_width = test.half_width(found, level / len(differences))
        same = _within_margin(half_width, found, race.margin)
        decisions.append(Decision("differs" if differs else "same" if same else "undecided", half_width))
    return decisions


def _compared(race: RaceSpec, entrants: Sequence[Entrant]) -> list[Pair]:
    racing = [index for index, entrant in enumerate(entrants) if entrant.races]
    if race.compare != "baseline":
        return list(combinations(racing, 2))
    baseline = next((index for index in racing if entrants[index].baseline), None)
    return [] if baseline is None else [(index, baseline) for index in racing if index != baseline]


def _differences(first: Entrant, second: Entrant, seeds: int) -> list[float]:
    """Return first minus second over the seeds for which both have a result, in the order of the seeds."""
    pairs = ((first.results.get(position), second.results.get(position)) for position in range(seeds))
    return [a - b for a, b in pairs if a is not None and b is not None and math.isfinite(a - b)]


def _holm_rejects(p_values: Sequence[float], level: float) -> list[bool]:
    rejected = [False] * len(p_values)
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] > level / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def _within_margin(half_width: float, differences: Sequence[float], margin: float | None) -> bool:
    if margin is None or not math.isfinite(half_width):
        return False
    return abs(math.fsum(differences) / len(differences)) + half_width <= margin


def _leader(entrants: Sequence[Entrant], seeds: int, *, maximize: bool) -> int | None:
    """Return the racing entrant with the best mean over its finite results; the first among equals."""
    means = {}
    for index, entrant in enumerate(entrants):
        found = [value for position in range(seeds) if (value := entrant.results.get(position)) is not None]
        finite = [value for value in found if math.isfinite(value)]
        if entrant.races and finite:
            means[index] = math.fsum(finite) / len(finite)
    return (max if maximize else min)(means, key=means.__getitem__, default=None)
