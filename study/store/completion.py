"""Checks whether a stored study is finished, without importing torch, which takes seconds."""

from __future__ import annotations

from study.search import budget
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view


def why_finished(folder: StudyFolder) -> str | None:
    """Describe the limits that a stored study has reached; None while trials remain or another process drives it.

    Raises:
        BadInput: the study does not exist (the nearest name is given) or cannot be read.
    """
    view = open_view(folder)
    if view.state != "finished":
        return None
    return budget.why_finished(
        view.spec, [budget.count_trials(view.spec, cell.cell, cell.frozen) for cell in view.cells]
    )
