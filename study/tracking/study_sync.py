"""Sync a whole study to MLflow; the recorder of a running study uses the same steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.study_view import CellView, TrialView, open_view
from study.tracking.cell_sync import sync_cell
from study.tracking.client import is_away, is_refusal
from study.tracking.response_sync import sync_responses
from study.tracking.run_index import Runs
from study.tracking.trial_sync import sync_trial
from trainables.core.errors import BadInput
from trainables.core.trial_folder import DamagedBundle
from trainables.core.url_secrets import masked


class StudySync:
    """Syncs trials and cells of one study; connects to the tracking store on first use."""

    def __init__(self, folder: StudyFolder, spec: StudySpec) -> None:
        """Connect to nothing yet."""
        self.folder, self._spec = folder, spec
        self._runs: Runs | None = None

    @property
    def runs(self) -> Runs:
        """The study's runs."""
        if self._runs is None:
            self._runs = Runs(self.folder, self._spec)
        return self._runs

    def forget(self) -> None:
        """Drop the cached runs after a failure left their state in doubt."""
        self._runs = None

    def trial(self, view: TrialView) -> bool:
        """Sync a trial; return whether anything was written."""
        return sync_trial(self.runs, view, self._spec.search.recorded)

    def cell(self, view: CellView, *, finished: bool = False, driven: bool = False, whole: bool = True) -> None:
        """Sync a cell's summary; arguments as in `sync_cell`."""
        sync_cell(self.runs, view, self._spec, finished=finished, driven=driven, whole=whole)

    def responses(self, cells: Sequence[CellView]) -> None:
        """Sync what all cells say together, once the search is over; fits nothing again unless there are new trials."""
        sync_responses(self.runs, self._spec, cells)

    def pause(self, view: CellView) -> None:
        """Mark the trials of a cell that were interrupted and wait for a resume."""
        for trial in (*view.trials, *view.confirming):
            if trial.state == "RUNNING" and (run := self.runs.of_trial(trial)) is not None:
                self.runs.pause(run)


@dataclass(frozen=True)
class Recorded:
    """Outcome of `record_study`: trials written, trials already up to date, and trials that failed."""

    study: str
    uri: str
    written: int
    there: int
    failed: dict[str, str]

    def __str__(self) -> str:
        """Return one sentence, and one line per failed trial."""
        text = f"study '{self.study}' in {self.uri}: {self.written} trials written, {self.there} already up to date"
        lines = [f"  not recorded: {key}: {reason}" for key, reason in self.failed.items()]
        return "\n".join([text, *lines])


def record_study(folder: StudyFolder) -> Recorded:
    """Sync a stored study to MLflow: all trials and cells, and what the cells say together once the search is over.

    Raises:
        BadInput: no such study, or the tracking store cannot be reached or written.
    """
    study = open_view(folder)
    sync = StudySync(folder, study.spec)
    finished, written, there, failed = study.is_spent(), 0, 0, dict[str, str]()
    try:
        uri = sync.runs.uri
        for trial in (trial for cell in study.cells for trial in cell.all_trials):
            try:
                wrote = sync.trial(trial)
            except Exception as error:
                if is_away(error):
                    raise
                kind = "" if isinstance(error, DamagedBundle) else f"{type(error).__name__}: "
                failed[trial.key] = masked(f"{kind}{error}")
                continue
            written, there = written + wrote, there + (not wrote)
        driven = folder.is_driven()
        for cell in study.cells:
            sync.cell(cell, finished=finished, driven=driven)
            if not driven:
                sync.pause(cell)
        if finished:
            sync.responses(study.cells)
    except Exception as error:
        if isinstance(error, (sqlite3.Error, OSError)) and not is_away(error):
            why, where = getattr(error, "strerror", None) or error, getattr(error, "filename", None)
            raise BadInput(f"MLflow's records in {where or folder.storage} cannot be written: {why}") from None
        if not is_away(error) and not is_refusal(error):
            raise
        what = "cannot be reached" if is_away(error) else "refused a write"
        raise BadInput(f"MLflow {what}: {str(error).partition(chr(10))[0]}") from None
    return Recorded(folder.name, uri, written, there, failed)
