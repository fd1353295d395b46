"""Pruners by name, kept from judging a trial by epochs in which what is searched could not act yet."""

from __future__ import annotations

import copy

from optuna import Study
from optuna.pruners import BasePruner, NopPruner, PercentilePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from study.spec import PrunerSpec


class _AfterSwitch(BasePruner):
    """Shows a pruner only the epochs of the last stage: earlier ones are of another loss."""

    def __init__(self, pruner: BasePruner, first_decision: int) -> None:
        self._pruner, self._first_decision = pruner, first_decision

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        seen = copy.copy(trial)
        seen.intermediate_values = {e: v for e, v in trial.intermediate_values.items() if e > self._first_decision}
        return self._pruner.prune(study, seen)


class _SuccessiveHalving(BasePruner):
    """Asynchronous successive halving (Li et al., 2020), from the values in the ledger alone.

    Optuna's own notes beside the values which rungs a trial took: a judgement that a kill cut off is lost, and
    one that is repeated counts the trial twice. Its rungs also count from the first epoch, not from a switch.
    """

    def __init__(self, first_decision: int, first_rung: int, factor: int) -> None:
        self._first_decision, self._first_rung, self._factor = first_decision, first_rung, factor

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        epoch = trial.last_step
        if epoch is None or not self._is_rung(epoch - self._first_decision):
            return False
        trials = study.get_trials(deepcopy=False)
        reached = [t.intermediate_values[epoch] for t in trials if epoch in t.intermediate_values]
        own, grows = trial.intermediate_values[epoch], study.direction == StudyDirection.MAXIMIZE
        ahead = sum(value > own if grows else value < own for value in reached)
        return ahead >= max(1, len(reached) // self._factor)

    def _is_rung(self, epochs: int) -> bool:
        rung = self._first_rung
        while rung < epochs:
            rung *= self._factor
        return rung == epochs


def build_pruner(spec: PrunerSpec, first_decision: int) -> BasePruner:
    """Build the pruner of a cell; what it decides depends on the values in the ledger and nothing else.

    Args:
        spec: name and values.
        first_decision: epochs before the last stage begins; the warm-up counts from there.
    """
    match spec.name:
        case "median" | "percentile":
            keep = 50.0 if spec.name == "median" else spec.percentile
            earliest = first_decision + spec.warmup_epochs
            percentile = PercentilePruner(keep, n_startup_trials=spec.startup_trials, n_warmup_steps=earliest)
            return _AfterSwitch(percentile, first_decision)
        case "successive-halving":
            return _SuccessiveHalving(first_decision, spec.warmup_epochs, spec.reduction_factor)
        case _:
            return NopPruner()
