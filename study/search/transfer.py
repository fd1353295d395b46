"""Transfer over ratios: a cell tries what was best in the cells next to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial

from study.search.budget import TrialCounts
from study.search.suggestion import Suggestion, is_new
from study.search.trial_params import param_source_of, params_of
from study.spec.cell import Cell

MOST_TRANSFERS = 3
"""Trials of a cell whose values come from its neighbours, at most one from each."""

STARTED_UP = 5
"""Ended trials from which on a neighbour's best counts although it gets more: before, its searcher only looks about."""

_KIND = "transfer: "


def nearness(cell: Cell, other: Cell) -> tuple[bool, float, bool]:
    """Return how far a cell is, the nearest first: other data, distance of the ratios' logarithms, other profile."""
    here, there = cell.base.data.profile, other.base.data.profile
    distance = abs(math.log(cell.ratio) - math.log(other.ratio))
    return cell.dataset != other.dataset, distance, here.kind != there.kind or here.minority != there.minority


def neighbours(cell: Cell, cells: Iterable[Cell]) -> list[Cell]:
    """Return the other cells of a cell's method, the nearest first; equally near ones stay in their order.

    A method that stands in a study twice, under two labels, is two: their values may have two units.
    """
    others = [other for other in cells if other.method == cell.method and other.name != cell.name]
    return sorted(others, key=lambda other: nearness(cell, other))


def next_transfer(
    cell: Cell, trials: Sequence[FrozenTrial], near: Iterable[tuple[Cell, TrialCounts]]
) -> Suggestion | None:
    """Return what a cell should try next of its neighbours' best, or None.

    All that it depends on stands in the ledger, so a study that was killed decides the same again.

    Args:
        cell: that asks.
        trials: its trials so far, also those that wait in its queue.
        near: its neighbours, the nearest first, with what became of their trials.
    """
    given = [source for trial in trials if (source := param_source_of(trial)).startswith(_KIND)]
    if not cell.space or len(given) >= MOST_TRANSFERS:
        return None
    for other, counts in near:
        if any(source.startswith(f"{_KIND}{other.name}/") for source in given) or not _is_informative(counts):
            continue
        suggestion = suggestion_of(cell, other, counts.best, _KIND)
        if suggestion is not None and is_new(suggestion.params_in(cell.space), trials, cell.space):
            return suggestion
    return None


def _is_informative(counts: TrialCounts) -> bool:
    """Tell whether a neighbour's best says something: it is finished, or its searcher has started up."""
    return counts.best is not None and (counts.done or counts.ended >= STARTED_UP)


def suggestion_of(cell: Cell, other: Cell, best: FrozenTrial | None, kind: str) -> Suggestion | None:
    """Return the best values of another cell under the names that this cell searches, or None without a best.

    Args:
        cell: that is to try them.
        other: that found them; what it does not search it takes from its own setting.
        best: its best trial.
        kind: how the source begins.
    """
    if best is None:
        return None
    config = other.trial(params_of(best, other.space), best.number)
    return Suggestion(cell.params_of(config), f"{kind}{other.name}/{best.number:05d}")
