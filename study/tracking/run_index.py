"""Index of one study's MLflow runs: found by their tags, or created."""

from __future__ import annotations

import errno
import getpass
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.study_view import TrialView
from study.tracking.client import artifact_folder, is_server, open_client, tracking_uri
from study.tracking.data_inputs import StoredData
from study.tracking.run_fields import CELL, RECORDED, STUDY, VERSION, cell_tags
from study.tracking.run_names import RunNames
from study.tracking.run_shown import milliseconds
from study.tracking.saved_views import GROUP_TAG, saved_views
from trainables.core.errors import BadInput
from trainables.core.storage_path import StoragePath, write_atomically

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

    from study.spec.cell import Cell


class LocksAway(BadInput):
    """The database that holds the locks of a storage does not answer; a further try may succeed."""


METRICS_PER_REQUEST = 800
"""So many that a run's params and tags fit into MLflow's limit of 1,000 entries, too."""

_PAGE = 1000
_TERMINAL = ("FINISHED", "FAILED", "KILLED")
PAUSED = "SCHEDULED"
"""Status of a cell or trial that waits for a resume: MLflow shows it neither as running nor as failed."""
_TRIAL, _CELL = "study.trial", "study.summary"
"""Tags with the key of the trial or cell that a run belongs to; that of the study itself is `STUDY`."""
BEST, SETTING = "study.best", "study.setting"
"""Tags of the best trial of a cell, and of the setting that a confirmation trial has."""
_CHANGING = {RECORDED, BEST, SETTING, GROUP_TAG}
"""Tags of an ended trial's run that a later sync reads or changes."""


@dataclass(slots=True)
class KnownRun:
    """The state of a run as this process read and wrote it.

    Attributes:
        status: MLflow's. A terminal status is written last, so everything else is there then.
        logged: last epoch with logged metrics; None if not looked up yet.
        data: True if its data set is logged; False also if not looked up.
        artifacts: URI of its files.
    """

    id: str
    status: str
    logged: int | None
    tags: dict[str, str]
    parameters: set[str] = field(default_factory=set)
    data: bool = False
    artifacts: str = ""

    @property
    def ended(self) -> bool:
        """True if everything is in a terminated run. A run that an older version of the project ended is not ended."""
        return self.status in _TERMINAL and self.tags.get(RECORDED) == VERSION

    def forget_content(self) -> None:
        """Drop what was written into an ended trial's run: nothing is added to it, and there may be many thousands."""
        self.tags = {tag: value for tag, value in self.tags.items() if tag in _CHANGING}
        self.parameters, self.artifacts = set(), ""


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
        cells = expand(spec)
        self._names, self._order = RunNames(cells), {cell.name: place for place, cell in enumerate(cells)}
        self._read(f"tags.`study.id` = '{self._id}'")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude other processes that sync the same study, so that no run is created twice."""
        lock = self._folder.lock("records.lock")
        try:
            lock.acquire()
        except OSError as error:
            kind = LocksAway if error.errno == errno.EIO else BadInput
            raise kind(f"cannot write to the study's folder {self._folder.path}: {error.strerror}") from None
        with lock:
            yield

    def of_cell(self, cell: Cell, started: datetime | None) -> KnownRun:
        """Return the run of a cell, the parent of its trials' runs; it starts with its first trial."""
        found = self._known.get(cell.name) or self._find(_CELL, cell.name)
        tags = {_CELL: cell.name, "study.kind": CELL, **cell_tags(cell)}
        return found or self._create(cell.name, self.cell_name(cell), tags, started)

    def of_study(self, started: datetime | None) -> KnownRun:
        """Return the run of the study itself, for what its cells say together."""
        found = self._known.get(STUDY) or self._find(_CELL, STUDY)
        return found or self._create(STUDY, "whole study", {_CELL: STUDY, "study.kind": STUDY}, started)

    def known_study(self) -> KnownRun | None:
        """Return the run of the study itself if it has one; asks MLflow nothing."""
        return self._known.get(STUDY)

    def tag_experiment(self, tags: Mapping[str, str]) -> None:
        """Write tags of the study's experiment, such as views."""
        for key, value in tags.items():
            self.client.set_experiment_tag(self._experiment, key, value)

    def cell_name(self, cell: Cell) -> str:
        """Return the name of a cell's run."""
        return self._names.cell(cell)

    def setting_tags(self, cell: Cell, role: str) -> dict[str, str]:
        """Return the tags of a confirmation trial that name its setting, by itself and within the study."""
        return {SETTING: role, GROUP_TAG: self._names.group(cell, role)}

    @property
    def experiment(self) -> str:
        """The id of the study's experiment."""
        return self._experiment

    def order(self, cell: Cell) -> int:
        """Return the place of a cell in the study, from 0."""
        return self._order[cell.name]

    def trial_name(self, view: TrialView) -> str:
        """Return the name of a trial's run."""
        return self._names.trial(view)

    def of_trial(self, view: TrialView) -> KnownRun | None:
        """Return the run of a trial, or None."""
        return self._known.get(view.key) or self._find(_TRIAL, view.key)

    def known_trial(self, view: TrialView) -> KnownRun | None:
        """Return the run of a trial if this process has met it; asks MLflow nothing."""
        return self._known.get(view.key)

    def create_trial(self, view: TrialView, tags: dict[str, str]) -> KnownRun:
        """Create the run of a trial with all its tags, in one transaction."""
        above = {"mlflow.parentRunId": self.of_cell(view.cell, view.started).id}
        own = {_TRIAL: view.key, **cell_tags(view.cell), **tags, **above}
        return self._create(view.key, self.trial_name(view), own, view.started)

    def last_epoch(self, run: KnownRun, key: str) -> int:
        """Return the last epoch with logged metrics; asks MLflow once."""
        if run.logged is None:
            run.logged = self.last_step(run, key)
        return run.logged

    def last_step(self, run: KnownRun, key: str) -> int:
        """Return the last step of a metric; 0 if there is none."""
        return max((metric.step for metric in self.client.get_metric_history(run.id, key)), default=0)

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

    def log_data(self, run: KnownRun, data: StoredData) -> None:
        """Log the data set of a run as its input."""
        if not run.data:
            self.client.log_inputs(run.id, [data.as_input()])
            run.data = True

    def upload(self, run: KnownRun, folder: str) -> None:
        """Write the files of a folder of this machine to a run.

        MLflow's client would first ask for the run, and keep the connections of a thousand runs, some 10 KB each.
        """
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if run.artifacts:
            files: Any = get_artifact_repository(run.artifacts, self.client.tracking_uri)
            files.log_artifacts(folder)
        else:
            self.client.log_artifacts(run.id, folder)

    def untag(self, run: KnownRun, tag: str) -> None:
        """Remove a tag, if the run has it."""
        if tag in run.tags:
            self.client.delete_tag(run.id, tag)
            del run.tags[tag]

    def end(self, run: KnownRun, status: str, moment: int) -> None:
        """Terminate a run, after everything else is written."""
        self.client.set_terminated(run.id, status=status, end_time=moment or None)
        run.status = status

    def pause(self, run: KnownRun) -> None:
        """Mark a run that waits for a resume."""
        if run.status != PAUSED:
            self.client.update_run(run.id, status=PAUSED)
            run.status = PAUSED

    def go_on(self, run: KnownRun) -> None:
        """Mark a run as running that waited for a resume, or that a raised budget continues."""
        if run.status != "RUNNING":
            self.client.update_run(run.id, status="RUNNING")
            run.status = "RUNNING"

    def _find_experiment(self) -> str:
        found = self.client.get_experiment_by_name(self._spec.name)
        tags = {"mlflow.experimentKind": "custom_model_development"}
        if self._spec.question:
            tags["mlflow.note.content"] = self._spec.question
        views = saved_views(self._spec, expand(self._spec))
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)
            for key, value in views.items():
                if found.tags.get(key) != value:
                    self.client.set_experiment_tag(found.experiment_id, key, value)
            return str(found.experiment_id)
        place = None
        if not is_server(self.uri):
            place = (artifact_folder(self.uri, self._folder.storage) / self._spec.name).as_uri()
        made = self.client.create_experiment(self._spec.name, artifact_location=place, tags={**tags, **views})
        return str(made)

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
        written = {**tags, "mlflow.runName": name}
        known = KnownRun(run.info.run_id, "RUNNING", logged=0, tags=written, artifacts=run.info.artifact_uri or "")
        self._known[key] = known
        return known


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _known(run: Run) -> KnownRun:
    data = bool(run.inputs is not None and run.inputs.dataset_inputs)
    tags, parameters, files = dict(run.data.tags), set(run.data.params), run.info.artifact_uri or ""
    known = KnownRun(run.info.run_id, run.info.status, None, tags, parameters, data, files)
    if _TRIAL in known.tags and known.ended:
        known.forget_content()
    return known


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


def _study_id(path: StoragePath) -> str:
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


def in_requests(points: list[Metric]) -> list[list[Metric]]:
    """Split metrics into as many as a request takes."""
    return [points[start : start + METRICS_PER_REQUEST] for start in range(0, len(points), METRICS_PER_REQUEST)]
