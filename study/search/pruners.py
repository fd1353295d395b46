"""Pruners by name. All but ``ratio-gp`` judge a trial only by the epochs of its last stage."""

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

from search_spaces import Space
from study.search.sampler_factory import MethodTrials
from study.spec.search_spec import PrunerSpec
from study.spec.search_tables import PRUNERS, PrunerContext


class _AfterSwitch(BasePruner):
    """Shows a pruner only the epochs of the last stage: earlier stages train another loss."""

    def __init__(self, pruner: BasePruner, pruning_start_epoch: int) -> None:
        self._pruner, self._first_decision = pruner, pruning_start_epoch

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        seen = copy.copy(trial)
        seen.intermediate_values = {e: v for e, v in trial.intermediate_values.items() if e > self._first_decision}
        return self._pruner.prune(study, seen)


class _SuccessiveHalving(BasePruner):
    """Asynchronous successive halving (Li et al., 2020), computed only from the values in the ledger.

    Optuna's own pruner stores the rungs that a trial passed: a kill can lose a decision, and a repeated decision
    counts the trial twice. Its rungs also count from the first epoch, not from the last switch of stages.
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
    """Hyperband (Li et al., 2018): brackets of successive halving; each starts one rung later than the one before.

    A hash of the study's name and the trial's number picks the bracket, with the probabilities of Optuna's
    pruner. Optuna's own would use its successive halving, which stores rungs.
    """

    def __init__(self, pruning_start_epoch: int, first_rung: int, factor: int, last_epoch: int) -> None:
        self._first_decision, self._factor = pruning_start_epoch, factor
        rungs = [first_rung]
        while rungs[-1] * factor <= last_epoch - pruning_start_epoch:
            rungs.append(rungs[-1] * factor)
        self._rungs = rungs
        # brackets should cost about the same: those that prune early get more trials
        shares = [len(rungs) * factor**left / (left + 1) for left in reversed(range(len(rungs)))]
        self._shares = [-int(-share // 1) for share in shares]

    def bracket(self, study: Study, number: int) -> int:
        """Return the index of a trial's bracket; bracket 0 has the earliest first rung."""
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


def first_decision(spec: PrunerSpec, pruning_start_epoch: int) -> int:
    """Return the number of epochs before a pruner's first decision.

    Args:
        spec: the pruner's name and options.
        pruning_start_epoch: number of epochs before the last stage.
    """
    return spec.warmup_epochs + (pruning_start_epoch if _waits_for_last_stage(spec) else 0)


def _waits_for_last_stage(spec: PrunerSpec) -> bool:
    return spec.name != "ratio-gp" or spec.patience is not None


def build_pruner(
    spec: PrunerSpec,
    pruning_start_epoch: int,
    last_epoch: int,
    space: Space | None = None,
    method: MethodTrials | None = None,
) -> BasePruner:
    """Build the pruner of a cell. Its decisions depend only on the values in the ledger.

    Args:
        spec: the pruner's name and options.
        pruning_start_epoch: number of epochs before the last stage; the warm-up counts from there.
        last_epoch: number of epochs of a trial.
        space: the cell's search space (ratio-gp).
        method: the trials of all cells of the method (ratio-gp).
    """
    space, method = space or {}, method or MethodTrials()
    pruner = _named_pruner(spec, pruning_start_epoch, last_epoch, space, method)
    if not _waits_for_last_stage(spec):
        return pruner
    if spec.patience is not None:
        # alone, it prunes trials that stop improving; around a pruner, it spares trials that still improve
        pruner = _patient(None if spec.name == "none" else pruner, spec)
    return _AfterSwitch(pruner, pruning_start_epoch)


def _named_pruner(
    spec: PrunerSpec, pruning_start_epoch: int, last_epoch: int, space: Space, method: MethodTrials
) -> BasePruner:
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
        case "ratio-gp":
            from study.search.ratio_pruner import RatioPruner  # imports scipy

            return RatioPruner(
                space,
                method,
                first_decision=first_decision(spec, pruning_start_epoch),
                startup_trials=spec.startup_trials,
                least_chance=spec.least_chance,
            )
        case "none":
            return NopPruner()
        case _:
            context = PrunerContext(
                pruning_start_epoch, last_epoch, spec.warmup_epochs, space, method.cell, method.trials
            )
            return PRUNERS[spec.name].build(context)
