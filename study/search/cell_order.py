"""Cell order: shares a cluster between the cells of a study."""

from __future__ import annotations

from collections.abc import Sequence

from study.search.budget import TrialCounts, remaining_capacity
from study.spec.cell import Cell
from study.spec.study_spec import StudySpec

CellState = tuple[Cell, TrialCounts]


def next_cell(spec: StudySpec, states: Sequence[CellState]) -> Cell | None:
    """Return the cell that gets the next trial, or None where no cell may have one now.

    Takes a step per cell, however many trials they have.

    Args:
        spec: the study, for its limits and its order.
        states: every cell, in the order of the file, with what became of its trials.
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
    """Return where a cell stands in the queue, the smallest first; equals stay in the order of the file.

    No cell starves in an order by ratio: each has its first trial before any has a second, and takes no more
    than its part of a limited number of epochs while others still want theirs.
    """
    cell, counts = state
    if spec.search.order == "fair":
        return False, False, 0.0, counts.started
    total = spec.search.epochs_total
    over = total is not None and (counts.epochs + spec.training.epochs) * cells > total
    ratio = cell.ratio if spec.search.order == "ratio-ascending" else -cell.ratio
    return counts.started > 0, over, ratio, counts.started
