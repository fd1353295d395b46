"""A stored study, read only: what records and reports are made from. Needs neither torch nor Ray nor MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.spec import StudySpec
from study.study_folder import StudyFolder
from study.yaml_file import read_yaml
from trainables.errors import BadInput
from trainables.metrics import METRICS
from trainables.trial_folder import whole_lines

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from study.cells import Cell
    from trainables.config import TrialConfig
    from trainables.trial_folder import Record

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING")
"""Every state of a trial that was started, as tables show them."""


@dataclass(frozen=True)
class TrialView:
    """One trial as the ledger holds it now.

    Attributes:
        cell: its cell.
        number: its number there, from 0.
        state: a name of `STATES`.
        values: searched values in their natural units.
        value: the study's metric at the end; the last one seen when the trial has no end or was stopped.
        origin: where the values came from: the name of a preset, ``searcher``, or ``seed`` of a cell in which
            nothing is searched and trials differ by their seeds.
        reason: why it failed, or None.
        folder: its files.
        reported: epochs that the ledger heard of.
        shared: epochs of shared trainings that it ``adopted``, ``needed`` in all and ``trained`` itself.
        started: when it was handed out first, in local time.
        ended: when it ended, or None.
    """

    cell: Cell
    number: int
    state: str
    values: dict[str, Any]
    value: float | None
    origin: str
    reason: str | None
    folder: Path
    reported: int
    shared: dict[str, int]
    started: datetime | None
    ended: datetime | None

    @property
    def key(self) -> str:
        """The trial's name, unique in the study: ``cell/number``."""
        return f"{self.cell.name}/{self.number:05d}"

    @property
    def config(self) -> TrialConfig:
        """What the trial is trained with."""
        return self.cell.trial(self.values, self.number)

    @property
    def epochs(self) -> int:
        """Epochs it reached. A metric that is not a number is never reported: a failed trial's files are asked."""
        if self.state != "FAIL":
            return self.reported
        return max(self.reported, int(self.last_record().get("epoch", 0)))

    @property
    def epochs_trained(self) -> int:
        """Epochs that were trained for this trial, shared ones counted for the trial that trained them."""
        return max(0, self.epochs - self.shared.get("adopted", 0)) + self.shared.get("trained", 0)

    @property
    def epochs_shared(self) -> int:
        """Epochs that it would have had to train without others."""
        return max(0, self.shared.get("needed", 0) - self.shared.get("trained", 0))

    def last_record(self) -> Record:
        """Return the record of the last epoch trained, or an empty one."""
        records = (record for file in self.folder.glob("epochs-*.jsonl") for record in whole_lines(file))
        return max(records, key=lambda record: int(record["epoch"]), default={})


@dataclass(frozen=True)
class CellView:
    """One cell with its started trials in order; ``frozen`` are the same trials as Optuna holds them."""

    cell: Cell
    metric: str
    trials: tuple[TrialView, ...]
    frozen: tuple[FrozenTrial, ...]

    @property
    def maximize(self) -> bool:
        """Whether a larger value of the metric is better."""
        return METRICS[self.metric][1] == "maximize"

    def in_state(self, *states: str) -> list[TrialView]:
        """Return the trials in these states."""
        return [trial for trial in self.trials if trial.state in states]

    def counts(self) -> dict[str, int]:
        """Return how many trials are in each of `STATES`."""
        return {state: len(self.in_state(state)) for state in STATES}

    def ranked(self) -> list[TrialView]:
        """Return all trials: complete ones, pruned, running and failed ones, each from best to worst."""
        groups = [self.in_state(state) for state in ("COMPLETE", "PRUNED", "RUNNING", "FAIL")]
        return [trial for group in groups for trial in sorted(group, key=self._order)]

    def best(self) -> TrialView | None:
        """Return the best complete trial; stopped ones saw fewer epochs and do not count."""
        return min(self.in_state("COMPLETE"), key=self._order, default=None)

    def epochs_trained(self) -> int:
        """Return how many epochs the trials that ended were trained."""
        return sum(trial.epochs_trained for trial in self.in_state("COMPLETE", "PRUNED", "FAIL"))

    def epochs_saved(self) -> int:
        """Return how many epochs were not trained: their trials were stopped, or others had trained them."""
        budget = self.cell.base.training.epochs
        stopped = sum(budget - trial.epochs for trial in self.in_state("PRUNED"))
        return stopped + sum(trial.epochs_shared for trial in self.trials)

    def _order(self, trial: TrialView) -> float:
        if trial.value is None:
            return float("inf")
        return -trial.value if self.maximize else trial.value


@dataclass(frozen=True)
class StudyView:
    """A study with its cells in the order of its file."""

    spec: StudySpec
    folder: StudyFolder
    cells: tuple[CellView, ...]

    @property
    def state(self) -> str:
        """``running`` while a process drives it, ``finished`` with every budget spent, else ``interrupted``."""
        if self.folder.is_driven():
            return "running"
        return "finished" if self.is_spent() else "interrupted"

    def is_spent(self) -> bool:
        """Tell whether the study has reached its limits and every trial has ended."""
        from study.limits import remaining, tally

        return remaining(self.spec, [tally(self.spec, cell.cell, cell.frozen) for cell in self.cells]) == 0


def trial_view(cell: Cell, trial: FrozenTrial, study_path: Path) -> TrialView:
    """Build the view of a trial from what the ledger holds.

    Args:
        cell: the trial's cell.
        trial: Optuna's trial.
        study_path: the study's folder.
    """
    from study.ledger import decode

    seen = trial.intermediate_values
    last = seen[max(seen)] if seen else None
    return TrialView(
        cell=cell,
        number=trial.number,
        state=trial.state.name,
        values=decode(cell.space, trial.params),
        value=trial.value if trial.state.name == "COMPLETE" else last,
        origin=trial.user_attrs.get("origin", "searcher" if cell.space else "seed"),
        reason=trial.user_attrs.get("reason"),
        folder=study_path / "cells" / cell.name / f"{trial.number:05d}",
        reported=max(seen, default=0),
        shared=trial.user_attrs.get("shared_epochs", {}),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
    )


def cell_view(cell: Cell, trials: Iterable[FrozenTrial], metric: str, study_path: Path) -> CellView:
    """Build the view of a cell; trials that wait to be started are left out."""
    frozen = tuple(trial for trial in trials if trial.state.name in STATES)
    return CellView(cell, metric, tuple(trial_view(cell, t, study_path) for t in frozen), frozen)


def open_view(folder: StudyFolder) -> StudyView:
    """Read a stored study: its file and its ledger.

    Raises:
        BadInput: no such study (the nearest name is given), or a ledger that cannot be reached.
    """
    from pydantic import ValidationError

    from study.cells import expand
    from study.checks import error_lines
    from study.storage import open_storage

    if not folder.spec_path.exists():
        folder.read_spec()  # raises, with the nearest name
    # checked when it was stored; checking the methods' values again would import torch
    try:
        spec = StudySpec.model_validate(read_yaml(folder.spec_path))
    except ValidationError as error:
        raise BadInput("\n".join(f"{folder.spec_path}: {line}" for line in error_lines(error))) from None
    cells = expand(spec)
    trials: dict[str, list[FrozenTrial]] = {}
    if spec.records.ledger is not None or (folder.path / "ledger.journal").exists():
        storage = open_storage(folder.path, spec.records.ledger, writable=False)
        ids = {study.study_name: study._study_id for study in storage.get_all_studies()}
        for cell in cells:
            if f"{spec.name}/{cell.name}" in ids:
                trials[cell.name] = storage.get_all_trials(ids[f"{spec.name}/{cell.name}"], deepcopy=False)
    metric = spec.search.metric
    views = (cell_view(cell, trials.get(cell.name, ()), metric, folder.path) for cell in cells)
    return StudyView(spec, folder, tuple(views))
