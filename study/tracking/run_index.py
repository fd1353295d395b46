"""Index of one study's MLflow runs: found by their tags, or created."""

from __future__ import annotations

import getpass
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.spec.confirmed_settings import CONFIRM
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.study_view import TrialView
from study.tracking.client import artifact_folder, is_server, open_client, tracking_uri
from study.tracking.run_fields import cell_tags, milliseconds
from trainables.core.errors import BadInput
from trainables.core.kernel_lock import KernelLock
from trainables.core.trial_folder import write_atomically

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

    from study.spec.cell import Cell

_PAGE = 1000
_TRIAL, _CELL = "study.trial", "study.summary"
"""Tags with the key of the trial or cell that a run belongs to."""


@dataclass
class KnownRun:
    """The state of a run as this process read and wrote it.

    Attributes:
        ended: True if the run is terminated. Termination is written last, so everything else is there then.
        logged: last epoch with logged metrics; None if not looked up yet.
    """

    id: str
    ended: bool
    logged: int | None
    tags: dict[str, str]
    parameters: set[str] = field(default_factory=set)


class Runs:
    """Finds, creates and updates the runs of one study."""

    def __init__(self, folder: StudyFolder, spec: StudySpec) -> None:
        """Connect to the tracking store and read the study's runs.

        Raises:
            BadInput: the store is a folder or a damaged file, or the study's id in it cannot be read.
            MlflowException: the store cannot be reached.
        """
        self.uri = tracking_uri(spec.records.tracking_uri, folder.storage)
        self._folder, self._spec = folder, spec
        self.client: MlflowClient = open_client(self.uri, folder.storage)
        with self.locked():
            self._id = _study_id(folder.path)
            self._experiment = self._find_experiment()
        self._known: dict[str, KnownRun] = {}
        self._read(f"tags.`study.id` = '{self._id}'")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude other processes that sync the same study, so that no run is created twice."""
        lock = KernelLock(self._folder.path / "records.lock")
        try:
            lock.acquire()
        except OSError as error:
            raise BadInput(f"cannot write to the study's folder {self._folder.path}: {error.strerror}") from None
        with lock:
            yield

    def of_cell(self, cell: Cell, started: datetime | None) -> KnownRun:
        """Return the run of a cell, the parent of its trials' runs; it starts with its first trial."""
        found = self._known.get(cell.name) or self._find(_CELL, cell.name)
        name = f"{cell.method} {cell.profile} {cell.dataset}"
        return found or self._create(cell.name, name, {_CELL: cell.name, **cell_tags(cell)}, started)

    def of_trial(self, view: TrialView) -> KnownRun | None:
        """Return the run of a trial, or None."""
        return self._known.get(view.key) or self._find(_TRIAL, view.key)

    def create_trial(self, view: TrialView, tags: dict[str, str]) -> KnownRun:
        """Create the run of a trial with all its tags, in one transaction."""
        above = {"mlflow.parentRunId": self.of_cell(view.cell, view.started).id}
        kind = "" if view.confirms is None else f"{CONFIRM} "
        name = f"{view.cell.method} {kind}{view.number:03d} {view.cell.profile} {view.cell.dataset}"
        return self._create(view.key, name, {_TRIAL: view.key, **cell_tags(view.cell), **tags, **above}, view.started)

    def last_epoch(self, run: KnownRun, key: str) -> int:
        """Return the last epoch with logged metrics; asks MLflow once."""
        if run.logged is None:
            history = self.client.get_metric_history(run.id, key)
            run.logged = max((metric.step for metric in history), default=0)
        return run.logged

    def write(
        self,
        run: KnownRun,
        metrics: Sequence[Metric] = (),
        tags: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> bool:
        """Log in one request whatever the run lacks; return whether it lacked anything.

        MLflow params are never changed.
        """
        from mlflow.entities import Param, RunTag

        new_tags = {k: v for k, v in (tags or {}).items() if run.tags.get(k) != v}
        new_parameters = {k: v for k, v in (parameters or {}).items() if k not in run.parameters}
        if not metrics and not new_tags and not new_parameters:
            return False
        self.client.log_batch(
            run.id,
            metrics=metrics,
            tags=[RunTag(k, v) for k, v in new_tags.items()],
            params=[Param(k, v) for k, v in new_parameters.items()],
        )
        run.tags.update(new_tags)
        run.parameters.update(new_parameters)
        return True

    def end(self, run: KnownRun, status: str, moment: int) -> None:
        """Terminate a run."""
        self.client.set_terminated(run.id, status=status, end_time=moment or None)
        run.ended = True

    def _find_experiment(self) -> str:
        found = self.client.get_experiment_by_name(self._spec.name)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        place = None
        if not is_server(self.uri):
            place = (artifact_folder(self.uri, self._folder.storage) / self._spec.name).as_uri()
        tags = {"mlflow.experimentKind": "custom_model_development"}
        if self._spec.question:
            tags["mlflow.note.content"] = self._spec.question
        return str(self.client.create_experiment(self._spec.name, artifact_location=place, tags=tags))

    def _find(self, tag: str, key: str) -> KnownRun | None:
        self._read(f"tags.`study.id` = '{self._id}' and tags.`{tag}` = {_quoted(key)}")
        return self._known.get(key)

    def _read(self, query: str) -> None:
        token = None
        while True:
            page = self.client.search_runs(
                [self._experiment], query, max_results=_PAGE, order_by=["attributes.start_time"], page_token=token
            )
            for run in page:
                tags = run.data.tags
                self._known.setdefault(tags.get(_TRIAL) or tags[_CELL], _known(run))
            token = page.token
            if not token:
                return

    def _create(self, key: str, name: str, tags: dict[str, str], started: datetime | None) -> KnownRun:
        who = {"mlflow.user": _user(), "mlflow.source.name": f"study {self._spec.name}"}
        tags = {**tags, "study.name": self._spec.name, "study.id": self._id, **who}
        start = milliseconds(started) or None
        run = self.client.create_run(self._experiment, start_time=start, tags=tags, run_name=name)
        self._known[key] = KnownRun(run.info.run_id, ended=False, logged=0, tags=tags)
        return self._known[key]


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _known(run: Run) -> KnownRun:
    ended = run.info.status in ("FINISHED", "FAILED", "KILLED")
    return KnownRun(run.info.run_id, ended, None, dict(run.data.tags), set(run.data.params))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


def _study_id(path: Path) -> str:
    """Return the study's id, which separates its runs from those of a namesake on the same server."""
    place = path / "records.json"
    if not place.exists():
        new = uuid.uuid4().hex
        write_atomically(place, json.dumps({"id": new}).encode())
        return new
    try:
        stored: dict[str, Any] = json.loads(place.read_bytes())
        return str(stored["id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{place}: cannot be read ({type(error).__name__}: {error}); put back a copy of it, or remove it: "
            f"`study record {path.name}` then writes the study into new runs, beside those it has"
        ) from None
