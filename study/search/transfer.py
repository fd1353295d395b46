"""Transfer across ratios: a cell tries the best params of its neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from optuna.trial import FrozenTrial

from study.search.budget import TrialCounts
from study.search.transferred_params import TransferredParams, is_new
from study.search.trial_params import param_source_of, params_of
from study.spec.cell import Cell

MOST_TRANSFERS = 3
"""Maximum number of a cell's trials with params from its neighbours, at most one from each."""

STARTED_UP = 5
"""Ended trials after which the best of an unfinished neighbour counts: its searcher only explores before."""

_KIND = "transfer: "


def nearness(cell: Cell, other: Cell) -> tuple[bool, float, bool]:
    """Return a sort key, nearest cell first: other data, distance of the log ratios, other profile."""
    here, there = cell.base.data.profile, other.base.data.profile
    distance = abs(math.log(cell.ratio) - math.log(other.ratio))
    return cell.dataset != other.dataset, distance, here.kind != there.kind or here.minority != there.minority


def neighbours(cell: Cell, cells: Iterable[Cell]) -> list[Cell]:
    """Return the other cells of a cell's method, nearest first; equally near cells keep their order.

    A method that appears under two labels counts as two methods: their params may have different units.
    """
    others = [other for other in cells if other.method == cell.method and other.name != cell.name]
    return sorted(others, key=lambda other: nearness(cell, other))


def next_transfer(
    cell: Cell, trials: Sequence[FrozenTrial], near: Iterable[tuple[Cell, TrialCounts]]
) -> TransferredParams | None:
    """Return the next best params of a neighbour for a cell to try, or None.

    The choice depends only on the ledger, so a resumed study makes the same one.

    Args:
        cell: the cell that gets the suggestion.
        trials: its trials so far, including queued ones.
        near: its neighbours with their trial counts, nearest first.
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
    """Return True if a neighbour has a best trial and is finished or past its searcher's start-up."""
    return counts.best is not None and (counts.done or counts.ended >= STARTED_UP)


def suggestion_of(cell: Cell, other: Cell, best: FrozenTrial | None, kind: str) -> TransferredParams | None:
    """Return the best params of another cell under the names that this cell searches; None without a best trial.

    Args:
        cell: the cell that gets the suggestion.
        other: the cell that found the params; params it does not search come from its own setting.
        best: the other cell's best trial.
        kind: prefix of the source.
    """
    if best is None:
        return None
    config = other.trial(params_of(best, other.space), best.number)
    return TransferredParams(cell.params_of(config), f"{kind}{other.name}/{best.number:05d}")
