"""One trial of a stored study, read only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.spec.confirmation import CONFIRM
from trainables.core.trial_folder import TrialFolder

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from study.spec.cell import Cell
    from trainables.core.config import TrialConfig
    from trainables.core.trial_folder import Record

STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING")
"""Every state of a trial that was started, as tables show them."""


@dataclass(frozen=True)
class TrialView:
    """One trial as the ledger holds it now.

    Attributes:
        cell: its cell.
        number: its number there, from 0.
        state: a name of `STATES`.
        params: searched params in their natural units.
        value: the study's first metric at the end; the last one seen when the trial has no end or was stopped.
        param_source: where the params came from: the name of a preset, ``searcher``, or ``seed`` of a cell in which
            nothing is searched and trials differ by their seeds; of one that confirms, what it was when it began:
            ``best``, ``preset`` or ``best and preset``.
        reason: why it failed, or None.
        folder: its files.
        reported: epochs that the ledger heard of.
        shared: epochs of shared trainings that it ``adopted``, ``needed`` in all and ``trained`` itself.
        started: when it was handed out first, in local time.
        ended: when it ended, or None.
        values: all metrics of the study at the end of a complete trial, else None.
        constraint_violation: by how much it breaks each bound of the study, at most 0 where it keeps it.
        confirms: the seed of a trial that confirms; None for those of the search.
    """

    cell: Cell
    number: int
    state: str
    params: dict[str, Any]
    value: float | None
    param_source: str
    reason: str | None
    folder: Path
    reported: int
    shared: dict[str, int]
    started: datetime | None
    ended: datetime | None
    values: tuple[float, ...] | None
    constraint_violation: dict[str, float]
    confirms: int | None

    @property
    def phase(self) -> str:
        """``search`` or ``confirm``."""
        return "search" if self.confirms is None else CONFIRM

    @property
    def feasible(self) -> bool:
        """Whether it breaks none of the study's bounds, as far as it is known."""
        return all(value <= 0 for value in self.constraint_violation.values())

    @property
    def key(self) -> str:
        """The trial's name, unique in the study: ``cell/number``, ``cell/confirm/number`` of one that confirms."""
        place = "" if self.confirms is None else f"/{CONFIRM}"
        return f"{self.cell.name}{place}/{self.number:05d}"

    @property
    def config(self) -> TrialConfig:
        """What the trial is trained with."""
        config = self.cell.trial(self.params, self.number)
        return config if self.confirms is None else config.model_copy(update={"seed": self.confirms})

    def test(self) -> Record | None:
        """Return what the test images said at its end, or None; only trials that confirm were shown them."""
        return TrialFolder(self.folder).test() if self.confirms is not None else None

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
        return max(self.history(), key=lambda record: int(record["epoch"]), default={})

    def history(self) -> list[Record]:
        """Return the record of every epoch in its folder, in order."""
        return TrialFolder(self.folder).history()

    def evaluation(self) -> Record | None:
        """Return what validation found at its newest epoch, or None."""
        return TrialFolder(self.folder).evaluation()

    def stored_config(self) -> Record | None:
        """Return its ``trial.json``: configuration, data and environment; None before its process wrote it."""
        from study.store import version1

        stored = TrialFolder(self.folder).config()
        return None if stored is None else version1.trial_file(stored)


def trial_view(cell: Cell, trial: FrozenTrial, study_path: Path) -> TrialView:
    """Build the view of a trial from what the ledger holds.

    Args:
        cell: the trial's cell.
        trial: Optuna's trial.
        study_path: the study's folder.
    """
    from study.search.trial_params import PARAM_SOURCE, params_of

    seen, said = trial.intermediate_values, trial.user_attrs
    last = seen[max(seen)] if seen else None
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
        ended=trial.datetime_complete,
        values=tuple(trial.values) if complete else None,
        constraint_violation=dict(trial.constraints),
        confirms=confirms,
    )
