"""Pruners by name, kept from judging a trial by epochs in which what is searched could not act yet."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from zlib import crc32

from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, NopPruner, PatientPruner, PercentilePruner, ThresholdPruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from study.spec.search_spec import PrunerSpec


class _AfterSwitch(BasePruner):
    """Shows a pruner only the epochs of the last stage: earlier ones are of another loss."""

    def __init__(self, pruner: BasePruner, pruning_start_epoch: int) -> None:
        self._pruner, self._first_decision = pruner, pruning_start_epoch

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        seen = copy.copy(trial)
        seen.intermediate_values = {e: v for e, v in trial.intermediate_values.items() if e > self._first_decision}
        return self._pruner.prune(study, seen)


class _SuccessiveHalving(BasePruner):
    """Asynchronous successive halving (Li et al., 2020), from the values in the ledger alone.

    Optuna's own notes beside the values which rungs a trial took: a judgement that a kill cut off is lost, and
    one that is repeated counts the trial twice. Its rungs also count from the first epoch, not from a switch.
    """

    def __init__(
        self,
        pruning_start_epoch: int,
        first_rung: int,
        factor: int,
        competes: Callable[[FrozenTrial], bool] = lambda trial: True,
    ) -> None:
        self._first_decision, self._first_rung, self._factor = pruning_start_epoch, first_rung, factor
        self._competes = competes

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        epoch = trial.last_step
        if epoch is None or not self._is_rung(epoch - self._first_decision):
            return False
        trials = [t for t in study.get_trials(deepcopy=False) if self._competes(t)]
        reached = [t.intermediate_values[epoch] for t in trials if epoch in t.intermediate_values]
        own, grows = trial.intermediate_values[epoch], study.direction == StudyDirection.MAXIMIZE
        ahead = sum(value > own if grows else value < own for value in reached)
        return ahead >= max(1, len(reached) // self._factor)

    def _is_rung(self, epochs: int) -> bool:
        rung = self._first_rung
        while rung < epochs:
            rung *= self._factor
        return rung == epochs


class _Hyperband(BasePruner):
    """Hyperband (Li et al., 2018): brackets of successive halving, each with a first rung one factor later.

    The bracket of a trial is drawn from its study's name and its number. Brackets are as likely as in Optuna's,
    whose own would keep the notes of its successive halving.
    """

    def __init__(self, pruning_start_epoch: int, first_rung: int, factor: int, last_epoch: int) -> None:
        self._first_decision, self._factor = pruning_start_epoch, factor
        rungs = [first_rung]
        while rungs[-1] * factor <= last_epoch - pruning_start_epoch:
            rungs.append(rungs[-1] * factor)
        self._rungs = rungs
        # every bracket is to cost about the same: those that stop early begin with more trials
        shares = [len(rungs) * factor**left / (left + 1) for left in reversed(range(len(rungs)))]
        self._shares = [-int(-share // 1) for share in shares]

    def bracket(self, study: Study, number: int) -> int:
        """Return the bracket of a trial; 0 is the one that stops earliest."""
        place = crc32(f"{study.study_name}_{number}".encode()) % sum(self._shares)
        bracket = 0
        while place >= self._shares[bracket]:
            place -= self._shares[bracket]
            bracket += 1
        return bracket

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        own = self.bracket(study, trial.number)
        halving = _SuccessiveHalving(
            self._first_decision,
            self._rungs[own],
            self._factor,
            competes=lambda other: self.bracket(study, other.number) == own,
        )
        return halving.prune(study, trial)


def _patient(pruner: BasePruner | None, spec: PrunerSpec) -> BasePruner:
    assert spec.patience is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return PatientPruner(pruner, spec.patience, spec.min_delta)


def build_pruner(spec: PrunerSpec, pruning_start_epoch: int, last_epoch: int) -> BasePruner:
    """Build the pruner of a cell; what it decides depends on the values in the ledger and nothing else.

    Args:
        spec: name and values.
        pruning_start_epoch: epochs before the last stage begins; the warm-up counts from there.
        last_epoch: epochs of a whole trial.
    """
    pruner = _named_pruner(spec, pruning_start_epoch, last_epoch)
    if spec.patience is not None:
        # alone it stops what no longer improves; with a pruner it keeps that from stopping what improves
        pruner = _patient(None if spec.name == "none" else pruner, spec)
    return _AfterSwitch(pruner, pruning_start_epoch)


def _named_pruner(spec: PrunerSpec, pruning_start_epoch: int, last_epoch: int) -> BasePruner:
    earliest = pruning_start_epoch + spec.warmup_epochs
    match spec.name:
        case "median" | "percentile":
            keep = 50.0 if spec.name == "median" else spec.percentile
            return PercentilePruner(keep, n_startup_trials=spec.startup_trials, n_warmup_steps=earliest)
        case "successive-halving":
            return _SuccessiveHalving(pruning_start_epoch, spec.warmup_epochs, spec.reduction_factor)
        case "hyperband":
            return _Hyperband(pruning_start_epoch, spec.warmup_epochs, spec.reduction_factor, last_epoch)
        case "threshold":
            return ThresholdPruner(lower=spec.lower, upper=spec.upper, n_warmup_steps=earliest)
        case _:
            return NopPruner()
