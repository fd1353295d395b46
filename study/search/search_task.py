"""The task of a cell: what its search has in common with that of other cells of its method."""

from __future__ import annotations

from study.spec.cell import Cell


def search_task(cell: Cell) -> str:
    """Return data set and kind of profile: cells of one task differ only in their ratio, or are folds."""
    profile = cell.base.data.profile
    return f"{cell.dataset}/{profile.kind}-{profile.minority}"
