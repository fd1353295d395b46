"""Whether a stored study has anything left to do, found out without what trains: torch takes seconds to import."""

from __future__ import annotations

from study.search import budget
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view


def why_finished(folder: StudyFolder) -> str | None:
    """Say which limits a stored study has reached; None while trials are left, or while another process drives it.

    Raises:
        BadInput: no such study (with the nearest name), or one that cannot be read.
    """
    view = open_view(folder)
    if view.state != "finished":
        return None
    return budget.why_finished(
        view.spec, [budget.count_trials(view.spec, cell.cell, cell.frozen) for cell in view.cells]
    )
