"""The ledger: one Optuna study per cell; it alone is the truth about trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from search_spaces import Space
from study.cells import Cell
from study.limits import ENDED, Tally, remaining, tally, why_finished
from study.proposals import build_searcher
from study.pruners import build_pruner
from study.spec import StudySpec
from study.suggestions import Suggestion, is_new, moved_names
from study.transfer import neighbours, next_transfer
from study.turns import next_cell
from trainables.metrics import METRICS

optuna.logging.set_verbosity(optuna.logging.WARNING)

SHARED_EPOCHS = ("adopted", "needed", "trained")
"""Of shared trainings: epochs that a trial took over, all that it needed, those that it trained itself."""


@dataclass(frozen=True)
class Assignment:
    """A trial that is to be trained: its cell, its number there and its searched values."""

    cell: Cell
    number: int
    values: dict[str, Any]

    @property
    def key(self) -> str:
        """The trial's name, unique in the study: ``cell/number``."""
        return f"{self.cell.name}/{self.number:05d}"


def decode(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """Translate what the ledger holds under Optuna's names into values of hyperparameters."""
    return {
        name: dimension.decode(params[dimension.searched_name(name)])
        for name, dimension in space.items()
        if dimension.searched_name(name) in params
    }


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution():
            return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
        case IntDistribution():
            return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
        case _:
            return trial.suggest_categorical(name, distribution.choices)  # type: ignore[attr-defined]


def _first_origin(cell: Cell) -> str:
    """Name the setting of the first trial: its preset, and what the study's ranges do not hold of it."""
    moved = moved_names(cell.space, cell.paper_values())
    preset = cell.base.method.preset
    return f"{preset}, {' and '.join(moved)} moved into the range" if moved else preset


class CellLedger:
    """The trials of one cell."""

    def __init__(self, study: StudySpec, cell: Cell, storage: BaseStorage) -> None:
        """Open the cell's Optuna study, or create it with the paper's setting as its first trial."""
        self.cell = cell
        self._spec, self._storage = study, storage
        self._tally: Tally | None = None
        self._study = optuna.create_study(
            study_name=f"{study.name}/{cell.name}",
            storage=storage,
            direction=METRICS[study.search.metric][1],
            pruner=build_pruner(study.search.pruner, cell.first_decision, study.training.epochs),
            load_if_exists=True,
        )
        if not self.trials():
            paper = cell.paper_values()
            first = {d.searched_name(name): d.encode(paper[name]) for name, d in cell.space.items()}
            self._study.enqueue_trial(first, user_attrs={"origin": _first_origin(cell)})

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, or all; not copies, not to be changed."""
        return self._study.get_trials(deepcopy=False, states=states or None)

    def tally(self) -> Tally:
        """Return what became of the trials; counted again only after something happened to one."""
        if self._tally is None:
            self._tally = tally(self._spec, self.cell, self.trials())
        return self._tally

    @property
    def started(self) -> int:
        """How many trials were handed out so far, whatever became of them."""
        return self.tally().started

    def state_counts(self) -> dict[str, int]:
        """Return how many trials are in each state, by its name."""
        states = (*ENDED, TrialState.RUNNING)
        return {state.name: len(self.trials(state)) for state in states}

    def best(self) -> FrozenTrial | None:
        """Return the complete trial with the best value, or None."""
        return self.tally().best

    def ask(self, suggestion: Suggestion | None = None) -> Assignment:
        """Start the next trial: what waits in the queue, else a suggestion, else what the searcher proposes."""
        if suggestion is not None and not self.trials(TrialState.WAITING):
            given, origin = suggestion.encoded(self.cell.space), suggestion.origin(self.cell.space)
            self._study.enqueue_trial(given, user_attrs={"origin": origin})
        self._study.sampler = self._searcher(self.started)
        self._tally = None
        return self._assign(self._study.ask())

    def running(self) -> list[Assignment]:
        """Return the trials that were started and not ended, also those whose values were cut off."""
        return [self._assign(self._whole(trial)) for trial in self.trials(TrialState.RUNNING)]

    def _searcher(self, number: int) -> BaseSampler:
        search = self._spec.search
        return build_searcher(
            search.searcher, self._spec.seed, self.cell.name, number, self.cell.space, search.grid_points
        )

    def _assign(self, trial: Trial) -> Assignment:
        return Assignment(self.cell, trial.number, decode(self.cell.space, self._suggested(trial)))

    def _suggested(self, trial: Trial) -> dict[str, Any]:
        dimensions = {d.searched_name(name): d for name, d in self.cell.space.items()}
        return {name: _suggest(trial, name, d.distribution()) for name, d in dimensions.items()}

    def _whole(self, trial: FrozenTrial) -> Trial:
        """Give a trial that was cut off while its values were drawn those that it would have had.

        A searcher asked for the missing ones alone would draw others, so it is asked for all of them again, on
        a copy of the trials that were there.
        """
        missing = {d.searched_name(name) for name, d in self.cell.space.items()} - trial.params.keys()
        if missing and "fixed_params" not in trial.system_attrs:
            copy = optuna.create_study(direction=self._study.direction, sampler=self._searcher(trial.number))
            copy.add_trials(self.trials()[: trial.number])
            asked = copy.ask()
            self._suggested(asked)
            for name in missing:
                distribution = asked.distributions[name]
                value = distribution.to_internal_repr(asked.params[name])
                self._storage.set_trial_param(trial._trial_id, name, value, distribution)
        return Trial(self._study, trial._trial_id)

    def _trial(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[number]

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Note the metric after ``epoch`` finished epochs; a repeated epoch changes nothing.

        Returns:
            Whether the trial should be stopped now.
        """
        trial = self._trial(number)
        last = max(trial.intermediate_values, default=0)
        if epoch not in trial.intermediate_values and not math.isnan(value):
            self._storage.set_trial_intermediate_value(trial._trial_id, epoch, value)
            self._tally = None
        # a resumed trial repeats epochs that were judged before: rungs stay what they were
        if epoch < max(last, self.cell.first_decision + self._spec.search.pruner.warmup_epochs):
            return False
        return bool(self._study.pruner.prune(self._study, self._trial(number)))

    def note_shared(self, number: int, epochs: dict[str, int]) -> None:
        """Note once how many epochs a trial took from shared trainings; nothing where it took none."""
        trial = self._trial(number)
        if epochs["needed"] and "shared_epochs" not in trial.user_attrs:
            self._storage.set_trial_user_attr(trial._trial_id, "shared_epochs", epochs)
            self._tally = None

    def complete(self, number: int, value: float) -> None:
        """End a trial that spent its budget; one whose metric is not a number fails."""
        if math.isnan(value):
            self.fail(number, f"{self._spec.search.metric} is not a number at the end")
        elif self._trial(number).state == TrialState.RUNNING:
            self._tell(number, TrialState.COMPLETE, value)

    def prune(self, number: int) -> None:
        """End a trial that was stopped; its intermediate values stay."""
        if self._trial(number).state == TrialState.RUNNING:
            self._tell(number, TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """End a trial that cannot be finished, and keep why."""
        trial = self._trial(number)
        if trial.state == TrialState.RUNNING:
            self._storage.set_trial_user_attr(trial._trial_id, "reason", reason)
            self._tell(number, TrialState.FAIL)

    def _tell(self, number: int, state: TrialState, value: float | None = None) -> None:
        self._study.tell(number, value, state=state)
        self._tally = None


class Ledger:
    """All cells of a study: whose turn it is, what a cell is to try next, and what is left of the limits."""

    def __init__(
        self,
        study: StudySpec,
        cells: Sequence[Cell],
        storage: BaseStorage,
        warm_starts: Mapping[str, Sequence[Suggestion]] | None = None,
    ) -> None:
        """Open every cell's Optuna study; ``warm_starts`` are tried first in the cells they are named for."""
        self.study = study
        self.cells = {cell.name: CellLedger(study, cell, storage) for cell in cells}
        self._warm_starts = warm_starts or {}
        self._neighbours = {cell.name: neighbours(cell, cells) for cell in cells}

    def of(self, assignment: Assignment) -> CellLedger:
        """Return the cell that a trial belongs to."""
        return self.cells[assignment.cell.name]

    def interrupted(self) -> list[Assignment]:
        """Return every trial that was started and not ended when its driver died."""
        return [assignment for cell in self.cells.values() for assignment in cell.running()]

    def next(self) -> Assignment | None:
        """Start a trial in the cell whose turn it is; None where none may start now, for one reason or another."""
        cell = next_cell(self.study, [(ledger.cell, ledger.tally()) for ledger in self.cells.values()])
        return None if cell is None else self.cells[cell.name].ask(self._suggestion(cell))

    def _suggestion(self, cell: Cell) -> Suggestion | None:
        """Return what a cell is to try that was good elsewhere: after its preset's setting, earlier studies first."""
        trials = self.cells[cell.name].trials()
        if trials[0].state == TrialState.WAITING:
            return None
        for warm in self._warm_starts.get(cell.name, ()):
            if is_new(warm.encoded(cell.space), trials):
                return warm
        if not self.study.search.transfer:
            return None
        near = ((other, self.cells[other.name].tally()) for other in self._neighbours[cell.name])
        return next_transfer(cell, trials, near)

    def tallies(self) -> list[Tally]:
        """Return what became of every cell's trials."""
        return [cell.tally() for cell in self.cells.values()]

    def remaining(self) -> int:
        """How many trials are yet to be started or ended."""
        return remaining(self.study, self.tallies())

    def why_finished(self) -> str:
        """Say which limits the study has reached."""
        return why_finished(self.study, self.tallies())

    def remaining_epochs(self) -> int:
        """How many epochs the budget still holds, if nothing more is pruned."""
        epochs = self.study.training.epochs
        begun = [t for cell in self.cells.values() for t in cell.trials(TrialState.RUNNING)]
        return self.remaining() * epochs - sum(max(t.intermediate_values, default=0) for t in begun)

    def failed(self) -> int:
        """How many trials failed."""
        return sum(len(cell.trials(TrialState.FAIL)) for cell in self.cells.values())
