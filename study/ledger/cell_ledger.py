"""The trials of one cell, held in an Optuna study that is their single source of truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from search_spaces.encoding import decode, encode, nearest_params
from study.ledger.optuna_internals import trial_id, writable_trial
from study.search.budget import ENDED, TrialCounter, TrialCounts, ranking_of
from study.search.pruners import build_pruner, first_decision
from study.search.sampler_factory import MethodTrials, build_searcher
from study.search.search_task import search_task
from study.search.transferred_params import TransferredParams, with_moved_names
from study.search.trial_params import ENDED_WITH, PARAM_SOURCE, PARAMS, QUEUED_PARAMS, SELECTED_EPOCH, params_of
from study.spec.cell import Cell
from study.spec.confirmed_settings import CONFIRM
from study.spec.objectives import constraint_violations, directions, not_numbers
from study.spec.search_tables import CellTrials
from study.spec.study_spec import StudySpec
from trainables.core.config import TrialConfig
from trainables.core.epoch_selection import best_epoch
from trainables.core.metric_names import METRICS
from trainables.core.trial_folder import METHOD_METRICS
from trainables.core.trial_report import SharedEpochs

optuna.logging.set_verbosity(optuna.logging.WARNING)

ReadTrial = Callable[[FrozenTrial], FrozenTrial]
"""Converts a stored trial to the current format."""


@dataclass(frozen=True)
class Assignment:
    """A trial to train: its cell, its number in the cell and its searched params.

    Attributes:
        seed: the seed of a confirmation trial; None for a search trial, whose seed the cell determines.
    """

    cell: Cell
    number: int
    params: dict[str, Any]
    seed: int | None = None

    @property
    def confirms(self) -> bool:
        """True for a confirmation trial, which is evaluated on the test images."""
        return self.seed is not None

    @property
    def place(self) -> str:
        """The cell's name, followed by ``/confirm`` for a confirmation trial."""
        return f"{self.cell.name}/{CONFIRM}" if self.confirms else self.cell.name

    @property
    def key(self) -> str:
        """The trial's name, unique in the study: ``cell/number`` or ``cell/confirm/number``."""
        return f"{self.place}/{self.number:05d}"

    @property
    def config(self) -> TrialConfig:
        """The configuration to train the trial with."""
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
    """Return the trial unchanged: it is stored in the current format."""
    return trial


def _trials_at(trials: Sequence[FrozenTrial], at: datetime) -> list[FrozenTrial]:
    """Return the trials that existed at a time, in the states that they had then."""
    found = []
    for trial in trials:
        if trial.datetime_start is not None and trial.datetime_start > at:
            continue
        if trial.datetime_complete is not None and trial.datetime_complete > at:
            trial = copy(trial)
            trial.state = TrialState.RUNNING
        found.append(trial)
    return found


class CellLedger:
    """The trials of one cell."""

    def __init__(
        self,
        study: StudySpec,
        cell: Cell,
        storage: BaseStorage,
        read_trial: ReadTrial = as_stored,
        method_trials: Callable[[datetime | None], Sequence[CellTrials]] = lambda at: (),
    ) -> None:
        """Open the cell's Optuna study. A new study starts with the preset's setting as trial 0.

        Args:
            study: the study.
            cell: the cell.
            storage: the ledger's Optuna storage.
            read_trial: converts a stored trial to the current format.
            method_trials: returns the trials of all cells of the method as they were at a time, None for now.
        """
        self._method_trials = method_trials
        self.cell, self._read_trial = cell, read_trial
        self._spec, self._storage = study, storage
        self._counter = TrialCounter(study, cell)
        self._counts: TrialCounts | None = None
        self._study = optuna.create_study(
            study_name=f"{study.name}/{cell.name}",
            storage=storage,
            directions=directions(study.search.metric),
            pruner=build_pruner(
                study.search.pruner, cell.pruning_start_epoch, study.training.epochs, cell.space, self._method(None)
            ),
            load_if_exists=True,
        )
        if not self.trials():
            preset = cell.preset_params()
            self._enqueue(preset, with_moved_names(cell.base.method.preset, cell.space, preset))

    def _enqueue(self, params: dict[str, Any], source: str) -> None:
        """Queue a trial with these params in a single write, so that a kill cannot leave half of it."""
        natural = nearest_params(self.cell.space, params)
        self._study.enqueue_trial(encode(self.cell.space, natural), user_attrs={PARAM_SOURCE: source, PARAMS: natural})

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, or all trials. They are not copies: do not change them."""
        stored = self._study.get_trials(deepcopy=False, states=states or None)
        return [self._read_trial(trial) for trial in stored] if self._read_trial is not as_stored else stored

    def trial_counts(self) -> TrialCounts:
        """Return the cell's trial counts, cached until a trial changes."""
        if self._counts is None:
            self._counts = self._counter.count(self.trials())
        return self._counts

    @property
    def started(self) -> int:
        """Number of trials handed out so far, in any state."""
        return self.trial_counts().started

    def state_counts(self) -> dict[str, int]:
        """Return the number of trials in each state, by the state's name."""
        states = (*ENDED, TrialState.RUNNING)
        return {state.name: len(self.trials(state)) for state in states}

    def best(self, metric: str | None = None) -> FrozenTrial | None:
        """Return the best complete trial, or None. Feasible trials rank before infeasible ones.

        Args:
            metric: the metric to rank by if the study has several; None takes the first.
        """
        return ranking_of(self._spec, metric).best(self.trials(TrialState.COMPLETE))

    def ask(self, suggestion: TransferredParams | None = None) -> Assignment:
        """Start the next trial: a queued one, else the suggestion, else one that the searcher proposes."""
        if suggestion is not None and not self.trials(TrialState.WAITING):
            self._enqueue(suggestion.params, suggestion.param_source(self.cell.space))
        self._study.sampler = self._searcher(self.started)
        self._counts = None
        return self._assign(self._study.ask())

    def running(self) -> list[Assignment]:
        """Return the trials that started and have not ended, including those interrupted during sampling."""
        return [self._assign(self._whole(trial)) for trial in self.trials(TrialState.RUNNING)]

    def ended(self) -> list[Assignment]:
        """Return the trials that have ended."""
        return [Assignment(self.cell, t.number, params_of(t, self.cell.space)) for t in self.trials(*ENDED)]

    def trials_at(self, at: datetime | None) -> CellTrials:
        """Return the cell's trials as they were at a time: later ones did not exist, those that ended later ran.

        Args:
            at: the time, as Optuna stores times; None for now.
        """
        trials = self.trials() if at is None else _trials_at(self.trials(), at)
        return CellTrials(self.cell.name, search_task(self.cell), self.cell.ratio, trials)

    def _searcher(self, number: int, at: datetime | None = None) -> BaseSampler:
        search, cell = self._spec.search, self.cell
        return build_searcher(
            search.searcher,
            self._spec.seed,
            cell.name_without_fold,
            number,
            cell.space,
            search.grid_points,
            self._method(at),
        )

    def _method(self, at: datetime | None) -> MethodTrials:
        """Return what searcher and pruner may know of all cells of the method, as they were at a time."""
        search, cell = self._spec.search, self.cell
        return MethodTrials(
            cell.name,
            cell.method,
            nearest_params(cell.space, cell.preset_params()),
            search.preset_prior,
            self._spec.training.epochs,
            cell.pruning_start_epoch,
            search.select_by is not None,
            partial(self._method_trials, at),
        )

    def _assign(self, trial: Trial) -> Assignment:
        """Sample a started trial's params and store their natural values once.

        A kill before the natural values are written loses nothing: they are decoded from the sampled ones.
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
        """Resample the missing params of an interrupted trial deterministically.

        A searcher that samples only the missing params would draw different ones. It samples all params again, on a
        copy of the trials that came before.
        """
        missing = {d.searched_name(name) for name, d in self.cell.space.items()} - trial.params.keys()
        if missing and QUEUED_PARAMS not in trial.system_attrs:
            before = optuna.create_study(
                directions=self._study.directions, sampler=self._searcher(trial.number, trial.datetime_start)
            )
            before.add_trials(self.trials()[: trial.number])
            asked = before.ask()
            self._suggested(asked)
            for name in missing:
                distribution = asked.distributions[name]
                value = distribution.to_internal_repr(asked.params[name])
                self._storage.set_trial_param(trial_id(trial), name, value, distribution)
        return writable_trial(self._study, trial)

    def _trial(self, number: int) -> FrozenTrial:
        return self._read_trial(self._study.get_trials(deepcopy=False)[number])

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Store the metric after ``epoch`` finished epochs; a repeated epoch changes nothing.

        Returns:
            True if the trial should be pruned now.
        """
        trial = self._trial(number)
        last = max(trial.intermediate_values, default=0)
        if epoch not in trial.intermediate_values and not math.isnan(value):
            self._storage.set_trial_intermediate_value(trial_id(trial), epoch, value)
        # a resumed trial repeats epochs that the pruner has already judged; those decisions stand
        if epoch < max(last, first_decision(self._spec.search.pruner, self.cell.pruning_start_epoch)):
            return False
        return bool(self._study.pruner.prune(self._study, self._trial(number)))

    def note_shared(self, number: int, epochs: SharedEpochs) -> bool:
        """Store a trial's shared epochs once; return True if this call stored them."""
        trial = self._trial(number)
        if not epochs.needed or "shared_epochs" in trial.user_attrs:
            return False
        self._storage.set_trial_user_attr(trial_id(trial), "shared_epochs", epochs.to_json())
        self._counts = None
        return True

    def selected_epoch(self, assignment: Assignment) -> int | None:
        """Return the trial's best epoch so far under ``select: best``; None under ``last`` or if none qualifies.

        Only epochs of the trial's last stage qualify: earlier ones train another loss.
        """
        metric = self._spec.search.select_by
        if metric is None:
            return None
        from trainables.methods.registry import selectable_after

        values = self._trial(assignment.number).intermediate_values
        return best_epoch(metric, values, selectable_after(assignment.config))

    def note_end(
        self,
        number: int,
        result: Mapping[str, Any],
        own: Mapping[str, float] | None = None,
        trained_in: Mapping[str, str] | None = None,
        tested: Mapping[str, float] | None = None,
    ) -> None:
        """Store the constraint violations of a trial's selected epoch once, where Optuna's samplers read them.

        The epoch's metrics are stored too, so that lists of trials need no file, and under ``select: best`` the epoch.

        Args:
            number: of the trial.
            result: metrics of its selected epoch.
            own: the method's own metrics of its last epoch, stored likewise.
            trained_in: ``precision`` and ``device`` of its training, stored likewise.
            tested: metrics on the test images, stored likewise.
        """
        trial = self._trial(number)
        if trial.state == TrialState.RUNNING and ENDED_WITH not in trial.user_attrs:
            metrics = {name: value for name, value in result.items() if name in METRICS}
            found: dict[str, Any] = {"metrics": metrics, **(trained_in or {})}
            if tested is not None:
                found["test"] = {name: value for name, value in tested.items() if name in METRICS}
            self._storage.set_trial_user_attr(trial_id(trial), ENDED_WITH, found)
        if self._spec.search.select_by is not None and trial.state == TrialState.RUNNING:
            self._storage.set_trial_user_attr(trial_id(trial), SELECTED_EPOCH, int(result["epoch"]))
        if own and trial.state == TrialState.RUNNING and METHOD_METRICS not in trial.user_attrs:
            self._storage.set_trial_user_attr(trial_id(trial), METHOD_METRICS, dict(own))
        violations = constraint_violations(self._spec.search.constraints, result)
        if trial.state != TrialState.RUNNING or not_numbers(violations):
            return
        self._study.sampler = RandomSampler()  # nothing is sampled here
        for name in violations.keys() - trial.constraints.keys():
            writable_trial(self._study, trial).set_constraint(name, violations[name])

    def complete(self, number: int, *values: float) -> None:
        """End a fully trained trial with its objective values; it fails if a metric is not a number."""
        trial, constraints = self._trial(number), self._spec.search.constraints
        lacking = not_numbers(dict(zip(self._spec.search.metrics, values, strict=True)))
        noted = {name.partition(".")[0] for name in trial.constraints}
        lacking += [name for name in constraints if name not in noted]
        if lacking:
            self.fail(number, f"{lacking[0]} is not a number at the end")
        elif trial.state == TrialState.RUNNING:
            self._tell(number, TrialState.COMPLETE, values)

    def prune(self, number: int) -> None:
        """End a pruned trial; its intermediate values stay."""
        if self._trial(number).state == TrialState.RUNNING:
            self._tell(number, TrialState.PRUNED)

    def fail(self, number: int, reason: str) -> None:
        """End a trial that cannot be finished, and store the reason."""
        trial = self._trial(number)
        if trial.state == TrialState.RUNNING:
            self._storage.set_trial_user_attr(trial_id(trial), "reason", reason)
            self._tell(number, TrialState.FAIL)

    def _tell(self, number: int, state: TrialState, values: Sequence[float] | None = None) -> None:
        self._study.tell(number, values, state=state)
        self._counts = None
