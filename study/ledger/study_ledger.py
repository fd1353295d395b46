"""The ledger: one Optuna study per cell; it alone is the truth about trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from study.ledger.cell_ledger import Assignment, CellLedger, ReadTrial, as_stored
from study.ledger.confirmation_ledger import Confirmation
from study.search.budget import TrialCounts, remaining, why_finished
from study.search.cell_order import next_cell
from study.search.suggestion import Suggestion, is_new
from study.search.transfer import neighbours, next_transfer
from study.spec.cell import Cell
from study.spec.study_spec import StudySpec


class Ledger:
    """All cells of a study: which gets the next trial, what a cell is to try next, and what is left of the limits."""

    def __init__(
        self,
        study: StudySpec,
        cells: Sequence[Cell],
        storage: BaseStorage,
        warm_starts: Mapping[str, Sequence[Suggestion]] | None = None,
        read_trial: ReadTrial = as_stored,
    ) -> None:
        """Open every cell's Optuna study.

        Args:
            study: the study.
            cells: its cells.
            storage: of Optuna.
            warm_starts: name of a cell -> what it tries first.
            read_trial: turns a trial stored in an earlier format into one of today's.
        """
        self.study = study
        self.cells = {cell.name: CellLedger(study, cell, storage, read_trial) for cell in cells}
        self.confirmation = Confirmation(study, self.cells, storage, read_trial)
        self._warm_starts = warm_starts or {}
        self._neighbours = {cell.name: neighbours(cell, cells) for cell in cells}

    @property
    def places(self) -> dict[str, CellLedger]:
        """Every cell's trials, and those that confirm it, by `Assignment.place`."""
        return {**self.cells, **self.confirmation.cells}

    def of(self, assignment: Assignment) -> CellLedger:
        """Return the trials that a trial is one of."""
        return (self.confirmation.cells if assignment.confirms else self.cells)[assignment.place]

    def interrupted(self) -> list[Assignment]:
        """Return every trial of the search that was started and not ended when its driver died."""
        return [assignment for cell in self.cells.values() for assignment in cell.running()]

    def next(self) -> Assignment | None:
        """Start a trial in the cell that comes next, then one that confirms; None where none may start now."""
        cell = next_cell(self.study, [(ledger.cell, ledger.trial_counts()) for ledger in self.cells.values()])
        if cell is not None:
            return self.cells[cell.name].ask(self._suggestion(cell))
        # the best may change, and test images stay unread, until the last trial of the search has ended
        return self.confirmation.next() if not self.search_remaining() else None

    def _suggestion(self, cell: Cell) -> Suggestion | None:
        """Return what a cell is to try that was good elsewhere: after its preset's setting, earlier studies first."""
        trials = self.cells[cell.name].trials()
        if trials[0].state == TrialState.WAITING:
            return None
        for warm in self._warm_starts.get(cell.name, ()):
            if is_new(warm.params_in(cell.space), trials, cell.space):
                return warm
        if not self.study.search.transfer:
            return None
        near = ((other, self.cells[other.name].trial_counts()) for other in self._neighbours[cell.name])
        return next_transfer(cell, trials, near)

    def cell_counts(self) -> list[TrialCounts]:
        """Return what became of every cell's trials."""
        return [cell.trial_counts() for cell in self.cells.values()]

    def search_remaining(self) -> int:
        """How many trials of the search are yet to be started or ended."""
        return remaining(self.study, self.cell_counts())

    def remaining(self) -> int:
        """How many trials are yet to be started or ended, those that confirm among them."""
        searching = self.search_remaining()
        return searching + self.confirmation.remaining(known=not searching)

    def total(self) -> int:
        """How many trials the study has in all, as far as is known."""
        ended, searching = sum(counts.ended for counts in self.cell_counts()), self.search_remaining()
        return ended + searching + self.confirmation.total(known=not searching)

    def why_finished(self) -> str:
        """Say which limits the search has reached."""
        return why_finished(self.study, self.cell_counts())

    def remaining_epochs(self) -> int:
        """How many epochs the budget still holds, if nothing more is pruned."""
        epochs = self.study.training.epochs
        begun = [t for cell in self.places.values() for t in cell.trials(TrialState.RUNNING)]
        return self.remaining() * epochs - sum(max(t.intermediate_values, default=0) for t in begun)

    def failed(self) -> int:
        """How many trials failed."""
        return sum(len(cell.trials(TrialState.FAIL)) for cell in self.places.values())
