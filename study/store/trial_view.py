"""One trial of a stored study, read only."""

from __future__ import annotations

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from study.spec.confirmed_settings import CONFIRM
from trainables.core.errors import BadInput
from trainables.core.object_path import ObjectPath
from trainables.core.trial_folder import METHOD_METRICS, TrialFolder

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from study.spec.cell import Cell
    from trainables.core.config import TrialConfig
    from trainables.core.storage_path import StoragePath
    from trainables.core.trial_folder import EpochResult, StoredJson

_READERS = 16
"""Requests at a time to an object storage, each of which takes tens of milliseconds."""

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING")
"""States of started trials, in the order in which tables show them."""


@dataclass(frozen=True)
class TrialView:
    """One trial as the ledger holds it now.

    Attributes:
        cell: the trial's cell.
        number: the trial's number in its cell, from 0.
        state: one of `STATES`.
        params: searched params in their natural units.
        value: the study's first metric at the end; for a pruned trial at its selected epoch, else the last reported
            value.
        param_source: the source of the params: a preset's name, a transfer, a warm start, ``searcher`` (``model`` or
            ``sobol`` if the searcher says which), or ``seed`` in a cell without searched params, whose trials differ by
            seed; for a confirmation trial the setting's role when it began: ``best``, ``preset`` or
            ``best and preset``.
        reason: the reason of a failure, or None.
        folder: the folder of the trial's files.
        reported: number of epochs reported to the ledger.
        shared: epochs of shared trainings that it ``adopted``, ``needed`` in all and ``trained`` itself.
        started: local time at which it was first handed out.
        ended: local time at which it ended, not before its start; or None.
        values: all objective values at the end of a complete trial, else None.
        constraint_violation: bound -> amount by which it is violated, at most 0 if it is satisfied.
        confirms: the seed of a confirmation trial; None for a search trial.
        selected_epoch: the epoch that is its result, selected as the best one; None under ``select: last``.
        method_metrics: the method's own metrics of its last epoch, by the names in `Method.epoch_metrics`; empty before
            the trial ends and for a method that reports none.
        ended_with: what the ledger keeps of an ended trial so that lists need no file (`trial_params.ENDED_WITH`);
            empty before its end, after a failure, and in studies of format 3 and earlier.
    """

    cell: Cell
    number: int
    state: str
    params: dict[str, Any]
    value: float | None
    param_source: str
    reason: str | None
    folder: StoragePath
    reported: int
    shared: dict[str, int]
    started: datetime | None
    ended: datetime | None
    values: tuple[float, ...] | None
    constraint_violation: dict[str, float]
    confirms: int | None
    selected_epoch: int | None = None
    method_metrics: dict[str, float] = field(default_factory=dict)
    ended_with: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def files(self) -> TrialFolder:
        """The trial's files; the bundle of an ended trial is read once."""
        return TrialFolder(self.folder)

    @property
    def phase(self) -> str:
        """``search`` or ``confirm``."""
        return "search" if self.confirms is None else CONFIRM

    @property
    def feasible(self) -> bool:
        """True if the trial violates no known bound of the study."""
        return all(value <= 0 for value in self.constraint_violation.values())

    @property
    def key(self) -> str:
        """The trial's name, unique in the study: ``cell/number`` or ``cell/confirm/number``."""
        place = "" if self.confirms is None else f"/{CONFIRM}"
        return f"{self.cell.name}{place}/{self.number:05d}"

    @property
    def config(self) -> TrialConfig:
        """The configuration the trial is trained with."""
        config = self.cell.trial(self.params, self.number)
        return config if self.confirms is None else config.model_copy(update={"seed": self.confirms})

    def notices(self) -> list[str]:
        """Return what the method's own metrics say of the trial, such as that a part of the method did not act."""
        from trainables.methods.registry import method_named

        reported = method_named(self.cell.base.method.name).epoch_metrics
        return [
            metric.notice
            for name, metric in reported.items()
            if metric.notice_below is not None and self.method_metrics.get(name, math.inf) < metric.notice_below
        ]

    def test(self) -> StoredJson | None:
        """Return the test results at the trial's end, or None; only confirmation trials see the test images."""
        return self.files.test() if self.confirms is not None else None

    def tested(self) -> StoredJson | None:
        """Return what `test` does.

        Raises:
            BadInput: the trial has confirmed its setting, and the file with its test results is damaged.
        """
        damaged = None
        if self.confirms is not None and self.state == "COMPLETE":
            damaged = self.files.damaged_file("test.json")
        if damaged is not None:
            raise BadInput(
                f"{damaged}: is damaged, and with it the test results of trial {self.key}; put back a copy of it, "
                "or move it away to leave this seed out"
            )
        return self.test()

    @property
    def epochs(self) -> int:
        """Number of epochs reached. The files of a failed trial are read: a metric that is NaN is never reported."""
        if self.state != "FAIL":
            return self.reported
        return max(self.reported, int(self.last_epoch_result().get("epoch", 0)))

    @property
    def epochs_trained(self) -> int:
        """Number of epochs trained for this trial; shared epochs count for the trial that trained them."""
        return max(0, self.epochs - self.shared.get("adopted", 0)) + self.shared.get("trained", 0)

    @property
    def epochs_shared(self) -> int:
        """Number of epochs that other trials trained for it."""
        return max(0, self.shared.get("needed", 0) - self.shared.get("trained", 0))

    def last_epoch_result(self) -> EpochResult:
        """Return the epoch result of the last trained epoch, or an empty one."""
        return max(self.history(), key=lambda result: int(result["epoch"]), default={})

    def result(self) -> EpochResult:
        """Return the metrics of the epoch that is the trial's result: of its selected epoch, else of its last one.

        Those of an ended trial are in the ledger; otherwise the whole epoch result is read from the files.
        """
        if "metrics" in self.ended_with:
            return dict(self.ended_with["metrics"])
        if self.selected_epoch is None:
            return self.last_epoch_result()
        found = (result for result in self.history() if result["epoch"] == self.selected_epoch)
        return next(found, self.last_epoch_result())

    @property
    def result_epoch(self) -> int | None:
        """The epoch that is its result: the selected one, else the last one; None before an epoch is finished."""
        return self.selected_epoch or self.epochs or None

    def history(self) -> list[StoredJson]:
        """Return the epoch results in its folder, in order."""
        return self.files.history()

    def evaluation(self) -> StoredJson | None:
        """Return the validation results of its newest epoch, or None."""
        return self.files.evaluation()

    def environment(self) -> StoredJson:
        """Return the code, machine, device and precision that it was trained with; empty before its process began."""
        found = (self.stored_config() or {}).get("environment")
        return found if isinstance(found, dict) else {}

    def trained_in(self) -> tuple[str, str] | None:
        """Return precision and device of its training; None before its process began."""
        found = self.ended_with if "precision" in self.ended_with else self.environment()
        return (str(found["precision"]), str(found.get("device", "?"))) if found.get("precision") else None

    @property
    def test_images(self) -> str | None:
        """Where the test images come from; None if from a test split of the data set, or before its process began."""
        found = (self.stored_config() or {}).get("test_images")
        return None if found is None else str(found)

    def stored_config(self) -> StoredJson | None:
        """Return ``trial.json``: configuration, data and environment; None until its process has written it."""
        return self.files.config()


def read_ahead(trials: Iterable[TrialView]) -> None:
    """Read the bundles of trials on object storage, many at a time; local files are read when they are needed."""
    waiting = [trial.files for trial in trials if isinstance(trial.folder, ObjectPath)]
    if waiting:
        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(TrialFolder.read_ahead, waiting))


def _not_before(started: datetime | None, ended: datetime | None) -> datetime | None:
    """Return the end of a trial, or its start if the clock was set back in between: no trial takes negative time."""
    return ended if started is None or ended is None else max(started, ended)


def trial_view(cell: Cell, trial: FrozenTrial, study_path: StoragePath) -> TrialView:
    """Build the view of a trial from its entry in the ledger.

    Args:
        cell: the trial's cell.
        trial: Optuna's trial.
        study_path: the study's folder.
    """
    from study.search.trial_params import ENDED_WITH, PARAM_SOURCE, SELECTED_EPOCH, params_of

    seen, said = trial.intermediate_values, trial.user_attrs
    selected = said.get(SELECTED_EPOCH)
    last = seen[selected if selected in seen else max(seen)] if seen else None
    confirms = said.get("seed") if said.get("phase") == CONFIRM else None
    place = study_path / "cells" / cell.name
    complete = trial.state.name == "COMPLETE"
    return TrialView(
        cell=cell,
        number=trial.number,
        state=trial.state.name,
        params=params_of(trial, cell.space),
        value=trial.values[0] if complete else last,
        param_source=said.get(PARAM_SOURCE, "searcher" if cell.space else "seed"),
        reason=said.get("reason"),
        folder=(place if confirms is None else place / CONFIRM) / f"{trial.number:05d}",
        reported=max(seen, default=0),
        shared=said.get("shared_epochs", {}),
        started=trial.datetime_start,
        ended=_not_before(trial.datetime_start, trial.datetime_complete),
        values=tuple(trial.values) if complete else None,
        constraint_violation=dict(trial.constraints),
        confirms=confirms,
        selected_epoch=selected,
        method_metrics=dict(said.get(METHOD_METRICS, {})),
        ended_with=dict(said.get(ENDED_WITH, {})),
    )
