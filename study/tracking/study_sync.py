"""Record a whole study, and what the recorder of a running one shares with that."""

from __future__ import annotations

from dataclasses import dataclass

from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.study_view import CellView, TrialView, open_view
from study.tracking.cell_sync import project_cell
from study.tracking.client import is_away, is_refusal
from study.tracking.run_index import Runs
from study.tracking.trial_sync import project_trial
from trainables.core.errors import BadInput


class Projector:
    """Writes trials and cells of one study; reaches the tracking store when it is first needed."""

    def __init__(self, folder: StudyFolder, spec: StudySpec) -> None:
        """Reach nothing yet."""
        self.folder, self._spec = folder, spec
        self._runs: Runs | None = None

    @property
    def runs(self) -> Runs:
        """The study's runs."""
        if self._runs is None:
            self._runs = Runs(self.folder, self._spec)
        return self._runs

    def forget(self) -> None:
        """Drop what is known of the runs, after a failure left it in doubt."""
        self._runs = None

    def trial(self, view: TrialView) -> bool:
        """Bring a trial's run up to date; tell whether anything was left to be done."""
        return project_trial(self.runs, view, self._spec.search.recorded)

    def cell(self, view: CellView, *, finished: bool = False) -> None:
        """Bring a cell's run up to date; ``finished`` says that the whole study has reached its limits."""
        project_cell(self.runs, view, self._spec, finished=finished)


@dataclass(frozen=True)
class Recorded:
    """What `record_study` did: trials it wrote, trials that were there already, and those that it could not."""

    study: str
    uri: str
    written: int
    there: int
    failed: dict[str, str]

    def __str__(self) -> str:
        """Say it in a sentence, and a line for every trial that failed."""
        text = f"study '{self.study}' in {self.uri}: {self.written} trials written, {self.there} were there already"
        lines = [f"  not recorded: {key}: {reason}" for key, reason in self.failed.items()]
        return "\n".join([text, *lines])


def record_study(folder: StudyFolder) -> Recorded:
    """Bring MLflow up to date with a stored study: every trial, every cell.

    Raises:
        BadInput: no such study, or a tracking store that cannot be reached or written.
    """
    study = open_view(folder)
    projector = Projector(folder, study.spec)
    finished, written, there, failed = study.is_spent(), 0, 0, dict[str, str]()
    try:
        uri = projector.runs.uri
        for trial in (trial for cell in study.cells for trial in (*cell.trials, *cell.confirming)):
            try:
                wrote = projector.trial(trial)
            except Exception as error:
                if is_away(error):
                    raise
                failed[trial.key] = f"{type(error).__name__}: {error}"
                continue
            written, there = written + wrote, there + (not wrote)
        for cell in study.cells:
            projector.cell(cell, finished=finished)
    except Exception as error:
        if not is_away(error) and not is_refusal(error):
            raise
        what = "cannot be reached" if is_away(error) else "cannot write the records"
        raise BadInput(f"MLflow {what}: {str(error).partition(chr(10))[0]}") from None
    return Recorded(folder.name, uri, written, there, failed)
