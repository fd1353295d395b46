"""Cell order: chooses the cell that gets the next trial."""

from __future__ import annotations

from collections.abc import Sequence

from study.search.budget import TrialCounts, remaining_capacity
from study.spec.cell import Cell
from study.spec.study_spec import StudySpec

CellState = tuple[Cell, TrialCounts]


def next_cell(spec: StudySpec, states: Sequence[CellState]) -> Cell | None:
    """Return the cell that gets the next trial, or None if no cell may start one now.

    Costs one step per cell, whatever the number of trials.

    Args:
        spec: the study, for its limits and its cell order.
        states: every cell with its trial counts, in the order of the study file.
    """
    fits, cap = remaining_capacity(spec, [counts for _, counts in states]), spec.search.cell_concurrency
    if fits == 0:
        return None
    waiting = [(c, counts) for c, counts in states if counts.remaining and (cap is None or counts.running < cap)]
    if not waiting:
        return None
    cell, _ = min(waiting, key=lambda state: _place(spec, state, len(states)))
    return cell


def _place(spec: StudySpec, state: CellState, cells: int) -> tuple[bool, bool, float, int]:
    """Return a cell's sort key in the queue, smallest first; equal cells keep the order of the study file.

    An order by ratio starves no cell. Each cell gets its first trial before any gets a second, and takes at most its
    share of `epochs_total` while other cells still wait for theirs.
    """
    cell, counts = state
    taken = counts.charged if spec.search.budget == "epochs" else counts.started
    if spec.search.order == "fair":
        return False, False, 0.0, taken
    total = spec.search.epochs_total
    over = total is not None and (counts.epochs + spec.training.epochs) * cells > total
    ratio = cell.ratio if spec.search.order == "ratio-ascending" else -cell.ratio
    return counts.started > 0, over, ratio, taken
