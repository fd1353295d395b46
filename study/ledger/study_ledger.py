"""The ledger of a study: one Optuna study per cell, the single source of truth about trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from optuna.storages import BaseStorage
from optuna.trial import TrialState

from study.ledger.cell_ledger import Assignment, CellLedger, ReadTrial, as_stored
from study.ledger.confirmation_ledger import Confirmation
from study.search.budget import TrialCounts, remaining, why_finished
from study.search.cell_order import next_cell
from study.search.transfer import neighbours, next_transfer
from study.search.transferred_params import TransferredParams, is_new
from study.spec.cell import Cell
from study.spec.search_tables import CellTrials
from study.spec.study_spec import StudySpec


class Ledger:
    """All cells of a study. The ledger chooses the next trial and counts the remaining budget."""

    def __init__(
        self,
        study: StudySpec,
        cells: Sequence[Cell],
        storage: BaseStorage,
        warm_starts: Mapping[str, Sequence[TransferredParams]] | None = None,
        read_trial: ReadTrial = as_stored,
    ) -> None:
        """Open every cell's Optuna study.

        Args:
            study: the study.
            cells: the study's cells.
            storage: the ledger's Optuna storage.
            warm_starts: name of a cell -> suggestions to try first.
            read_trial: converts a stored trial to the current format.
        """
        self.study = study
        self.cells: dict[str, CellLedger] = {}
        for cell in cells:
            of_method = partial(self._method_trials, cell.method)
            self.cells[cell.name] = CellLedger(study, cell, storage, read_trial, of_method)
        self.confirmation = Confirmation(study, self.cells, storage, read_trial)
        self._warm_starts = warm_starts or {}
        self._neighbours = {cell.name: neighbours(cell, cells) for cell in cells}

    @property
    def places(self) -> dict[str, CellLedger]:
        """`Assignment.place` -> the search or confirmation trials of a cell."""
        return {**self.cells, **self.confirmation.cells}

    def of(self, assignment: Assignment) -> CellLedger:
        """Return the cell ledger that holds a trial."""
        return (self.confirmation.cells if assignment.confirms else self.cells)[assignment.place]

    def interrupted(self) -> list[Assignment]:
        """Return the search trials that an earlier driver started and did not end."""
        return [assignment for cell in self.cells.values() for assignment in cell.running()]

    def ended(self) -> list[Assignment]:
        """Return all trials that have ended, of search and confirmation."""
        return [assignment for cell in self.places.values() for assignment in cell.ended()]

    def next(self) -> Assignment | None:
        """Start the next search trial, or after the search the next confirmation trial; None if none may start now."""
        cell = next_cell(self.study, [(ledger.cell, ledger.trial_counts()) for ledger in self.cells.values()])
        if cell is not None:
            return self.cells[cell.name].ask(self._suggestion(cell))
        # until the last search trial has ended, the best may change and the test images stay unread
        return self.confirmation.next() if not self.search_remaining() else None

    def _suggestion(self, cell: Cell) -> TransferredParams | None:
        """Return the cell's next suggestion. The preset's setting runs first, then warm starts, then transfers."""
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

    def _method_trials(self, method: str, at: datetime | None) -> list[CellTrials]:
        """Return the trials of all cells of a method as they were at a time, None for now, in the study's order."""
        return [ledger.trials_at(at) for ledger in self.cells.values() if ledger.cell.method == method]

    def cell_counts(self) -> list[TrialCounts]:
        """Return the trial counts of every cell."""
        return [cell.trial_counts() for cell in self.cells.values()]

    def search_remaining(self) -> int:
        """Return the number of search trials yet to start or end."""
        return remaining(self.study, self.cell_counts())

    def remaining(self) -> int:
        """Return the number of trials yet to start or end, including confirmation trials."""
        searching = self.search_remaining()
        return searching + self.confirmation.remaining(known=not searching)

    def total(self) -> int:
        """Return the total number of trials; the confirmation's share is an upper bound until the search is over."""
        ended, searching = sum(counts.ended for counts in self.cell_counts()), self.search_remaining()
        return ended + searching + self.confirmation.total(known=not searching)

    def total_is_exact(self) -> bool:
        """Return True once `total` is final: the search is over, or no cell confirms a second setting; no race runs."""
        searching = self.search_remaining()
        return self.confirmation.total_is_exact() or (not searching and not self.confirmation.races())

    def why_finished(self) -> str:
        """Describe the limits that the search has reached."""
        return why_finished(self.study, self.cell_counts())

    def remaining_epochs(self) -> int:
        """Return the number of epochs yet to train if no further trial is pruned."""
        epochs = self.study.training.epochs
        begun = [t for cell in self.places.values() for t in cell.trials(TrialState.RUNNING)]
        return self.remaining() * epochs - sum(max(t.intermediate_values, default=0) for t in begun)

    def failed(self) -> int:
        """Return the number of failed trials."""
        return sum(len(cell.trials(TrialState.FAIL)) for cell in self.places.values())
