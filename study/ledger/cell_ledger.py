"""The trials of one cell: an Optuna study, which alone is the truth about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from search_spaces.encoding import decode, encode, nearest_params
from study.ledger.optuna_internals import QUEUED_PARAMS, trial_id, writable_trial
from study.search.budget import ENDED, TrialCounts, count_trials, ranking_of
from study.search.pruners import build_pruner
from study.search.sampler_factory import build_searcher
from study.search.suggestion import Suggestion, with_moved_names
from study.search.trial_params import PARAM_SOURCE, PARAMS
from study.spec.cell import Cell
from study.spec.confirmation import CONFIRM
from study.spec.objectives import constraint_violations, directions, not_numbers
from study.spec.study_spec import StudySpec
from trainables.core.config import TrialConfig

optuna.logging.set_verbosity(optuna.logging.WARNING)

ReadTrial = Callable[[FrozenTrial], FrozenTrial]
"""Turns a trial as it is stored into one of today's format."""

SHARED_EPOCHS = ("adopted", "needed", "trained")
"""Of shared trainings: epochs that a trial took over, all that it needed, those that it trained itself."""


@dataclass(frozen=True)
class Assignment:
    """A trial that is to be trained: its cell, its number there and its searched values.

    Attributes:
        seed: of a trial that confirms; None for those of the search, whose cell says it.
    """

    cell: Cell
    number: int
    params: dict[str, Any]
    seed: int | None = None

    @property
    def confirms(self) -> bool:
        """Whether the trial confirms what a search found, and so is evaluated on the test images."""
        return self.seed is not None

    @property
    def place(self) -> str:
        """The cell's name, with ``/confirm`` behind it for a trial that confirms."""
        return f"{self.cell.name}/{CONFIRM}" if self.confirms else self.cell.name

    @property
    def key(self) -> str:
        """The trial's name, unique in the study: ``cell/number`` or ``cell/confirm/number``."""
        return f"{self.place}/{self.number:05d}"

    @property
    def config(self) -> TrialConfig:
        """What the trial is trained with."""
        trial = self.cell.trial(self.params, self.number)
        return trial if self.seed is None else trial.model_copy(update={"seed": self.seed})


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution():
            return trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)
        case IntDistribution():
            return trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
        case _:
            return trial.suggest_categorical(name, distribution.choices)  # type: ignore[attr-defined]


def as_stored(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial that is stored in today's format: itself."""
    return trial


class CellLedger:
    """The trials of one cell."""

    def __init__(self, study: StudySpec, cell: Cell, storage: BaseStorage, read_trial: ReadTrial = as_stored) -> None:
        """Open the cell's Optuna study, or create it with the preset's setting as its first trial."""
        self.cell, self._read_trial = cell, read_trial
        self._spec, self._storage = study, storage
        self._counts: TrialCounts | None = None
        self._study = optuna.create_study(
            study_name=f"{study.name}/{cell.name}",
            storage=storage,
            directions=directions(study.search.metric),
            pruner=build_pruner(study.search.pruner, cell.pruning_start_epoch, study.training.epochs),
            load_if_exists=True,
        )
        if not self.trials():
            preset = cell.preset_params()
            self._enqueue(preset, with_moved_names(cell.base.method.preset, cell.space, preset))

    def _enqueue(self, params: dict[str, Any], source: str) -> None:
        """Queue a trial with given params; one write holds all of it, so that a kill cannot part them."""
        natural = nearest_params(self.cell.space, params)
        self._study.enqueue_trial(encode(self.cell.space, natural), user_attrs={PARAM_SOURCE: source, PARAMS: natural})

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, or all; not copies, not to be changed."""
        stored = self._study.get_trials(deepcopy=False, states=states or None)
        return [self._read_trial(trial) for trial in stored] if self._read_trial is not as_stored else stored

    def trial_counts(self) -> TrialCounts:
        """Return what became of the trials; counted again only after something happened to one."""
        if self._counts is None:
            self._counts = count_trials(self._spec, self.cell, self.trials())
        return self._counts

    @property
    def started(self) -> int:
        """How many trials were handed out so far, whatever became of them."""
        return self.trial_counts().started

    def state_counts(self) -> dict[str, int]:
        """Return how many trials are in each state, by its name."""
        states = (*ENDED, TrialState.RUNNING)
        return {state.name: len(self.trials(state)) for state in states}

    def best(self, metric: str | None = None) -> FrozenTrial | None:
        """Return the best complete trial, a feasible one where there is one, or None.

        Args:
            metric: of several, the one that ranks; None is the first.
        """
        return ranking_of(self._spec, metric).best(self.trials(TrialState.COMPLETE))

    def ask(self, suggestion: Suggestion | None = None) -> Assignment:
        """Start the next trial: what waits in the queue, else a suggestion, else what the searcher proposes."""
        if suggestion is not None and not self.trials(TrialState.WAITING):
            self._enqueue(suggestion.params, suggestion.param_source(self.cell.space))
        self._study.sampler = self._searcher(self.started)
        self._counts = None
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
        """Complete a started trial: what Optuna samples, and once the natural params that it is trained with.

        A kill before the params are written loses nothing: they are decoded from what was sampled.
        """
        sampled = self._suggested(trial)
        params = trial.user_attrs.get(PARAMS)
        if params is None:
            params = decode(self.cell.space, sampled)
            self._storage.set_trial_user_attr(trial_id(trial), PARAMS, params)
        return Assignment(self.cell, trial.number, dict(params))

    def _suggested(self, trial: Trial) -> dict[str, Any]:
        dimensions = {d.searched_name(name): d for name, d in self.cell.space.items()}
        return {name: _suggest(trial, name, d.distribution()) for name, d in dimensions.items()}

    def _whole(self, trial: FrozenTrial) -> Trial:
        """Give a trial that was cut off while its values were drawn those that it would have had.

        A searcher asked for the missing ones alone would draw others, so it is asked for all of them again, on
        a copy of the trials that were there.
        """
        missing = {d.searched_name(name) for name, d in self.cell.space.items()} - trial.params.keys()
        if missing and QUEUED_PARAMS not in trial.system_attrs:
            copy = optuna.create_study(directions=self._study.directions, sampler=self._searcher(trial.number))
            copy.add_trials(self.trials()[: trial.number])
            asked = copy.ask()
            self._suggested(asked)
            for name in missing:
                distribution = asked.distributions[name]
                value = distribution.to_internal_repr(asked.params[name])
                self._storage.set_trial_param(trial_id(trial), name, value, distribution)
        return writable_trial(self._study, trial)

    def _trial(self, number: int) -> FrozenTrial:
        return self._read_trial(self._study.get_trials(deepcopy=False)[number])

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Note the metric after ``epoch`` finished epochs; a repeated epoch changes nothing.

        Returns:
            Whether the trial should be stopped now.
        """
        trial = self._trial(number)
        last = max(trial.intermediate_values, default=0)
        if epoch not in trial.intermediate_values and not math.isnan(value):
            self._storage.set_trial_intermediate_value(trial_id(trial), epoch, value)
            self._counts = None
        # a resumed trial repeats epochs that were judged before: rungs stay what they were
        if epoch < max(last, self.cell.pruning_start_epoch + self._spec.search.pruner.warmup_epochs):
            return False
        return bool(self._study.pruner.prune(self._study, self._trial(number)))

    def note_shared(self, number: int, epochs: dict[str, int]) -> bool:
        """Note once how many epochs a trial took from shared trainings; tell whether there was anything to note."""
        trial = self._trial(number)
        if not epochs["needed"] or "shared_epochs" in trial.user_attrs:
            return False
        self._storage.set_trial_user_attr(trial_id(trial), "shared_epochs", epochs)
        self._counts = None
        return True

    def note_end(self, number: int, record: Mapping[str, Any]) -> None:
        """Note once by how much a trial's last epoch violates each bound of the study, where samplers look for it."""
        trial = self._trial(number)
        found = constraint_violations(self._spec.search.constraints, record)
        if trial.state != TrialState.RUNNING or not_numbers(found):
            return
        self._study.sampler = RandomSampler()  # none may propose anything here
        for name in found.keys() - trial.constraints.keys():
            writable_trial(self._study, trial).set_constraint(name, found[name])

    def complete(self, number: int, *values: float) -> None:
        """End a trial that spent its budget, with the study's metrics; one with a metric that is no number fails."""
        trial, constraints = self._trial(number), self._spec.search.constraints
        lacking = not_numbers(dict(zip(self._spec.search.metrics, values, strict=True)))
        noted = {name.partition(".")[0] for name in trial.constraints}
        lacking += [name for name in constraints if name not in noted]
        if lacking:
            self.fail(number, f"{lacking[0]} is not a number at the end")
        elif trial.state == TrialState.RUNNING:
            self._tell(number, TrialState.COMPLETE, values)

    def prune(self, number: int) -> None:
        """End a trial that was stopped; its intermediate values stay."""
        if self._trial(number).state == TrialState.RUNNING:
            self._tell(number, TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """End a trial that cannot be finished, and keep why."""
        trial = self._trial(number)
        if trial.state == TrialState.RUNNING:
            self._storage.set_trial_user_attr(trial_id(trial), "reason", reason)
            self._tell(number, TrialState.FAIL)

    def _tell(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        self._study.tell(number, values, state=state)
        self._counts = None
