"""Optuna's pruners by name, kept from judging a trial before what is searched can act."""

from __future__ import annotations

from optuna.pruners import BasePruner, NopPruner, PercentilePruner, SuccessiveHalvingPruner

from study.spec import PrunerSpec


def build_pruner(spec: PrunerSpec, first_decision: int) -> BasePruner:
    """Build the pruner of a cell.

    Args:
        spec: name and values.
        first_decision: epochs before the last stage begins; the warm-up counts from there.
    """
    earliest = first_decision + spec.warmup_epochs
    match spec.name:
        case "median" | "percentile":
            keep = 50.0 if spec.name == "median" else spec.percentile
            return PercentilePruner(keep, n_startup_trials=spec.startup_trials, n_warmup_steps=earliest)
        case "successive-halving":
            return SuccessiveHalvingPruner(min_resource=earliest, reduction_factor=spec.reduction_factor)
        case _:
            return NopPruner()
