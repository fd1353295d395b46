"""How much of a study's limits is left, from the trials in the ledger alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from study.search.sampler_factory import cell_grid
from study.search.trial_params import params_of
from study.spec.cell import Cell
from study.spec.objectives import Ranking
from study.spec.study_spec import StudySpec

ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class TrialCounts:
    """What became of a cell's trials.

    Attributes:
        started: trials that were handed out.
        ended: of these, those that ended, in whatever way.
        epochs: trained ones, and those that running trials train if nothing stops them.
        best: the complete trial with the best value, or None.
        remaining: trials that the cell may still get, the study's epochs aside.
    """

    started: int
    ended: int
    epochs: int
    best: FrozenTrial | None
    remaining: int

    @property
    def running(self) -> int:
        """How many trials are being trained, or wait for a resume."""
        return self.started - self.ended

    @property
    def done(self) -> bool:
        """Whether the cell gets no more trials and all it had are ended."""
        return self.remaining == 0 and self.running == 0


def count_trials(spec: StudySpec, cell: Cell, trials: Sequence[FrozenTrial]) -> TrialCounts:
    """Count a cell's trials.

    Args:
        spec: the study, for its limits.
        cell: the cell.
        trials: as the ledger holds them; those that wait to be started do not count.
    """
    ended = [trial for trial in trials if trial.state in ENDED]
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    budget = spec.training.epochs
    ranking = ranking_of(spec)
    return TrialCounts(
        started=len(ended) + len(running),
        ended=len(ended),
        epochs=sum(map(trained_epochs, ended)) + sum(max(budget, _bound_epochs(t, budget)) for t in running),
        best=best_of(ended, ranking),
        remaining=_remaining(spec, cell, [*ended, *running], ended),
    )


def _remaining(spec: StudySpec, cell: Cell, started: list[FrozenTrial], ended: list[FrozenTrial]) -> int:
    search = spec.search
    left = max(0, search.trials - len(started))
    if not left or (search.stop_cell_after is not None and stalled(ended, search.stop_cell_after, ranking_of(spec))):
        return 0
    if search.searcher == "grid" and cell.space:
        grid = cell_grid(spec.seed, cell.name, cell.space, search.grid_points)
        left = min(left, grid.count_untried(params_of(trial, cell.space) for trial in started))
    return left


def ranking_of(spec: StudySpec, first: str | None = None) -> Ranking[FrozenTrial]:
    """Return what orders a cell's complete trials; ``first`` is the metric that ranks, of several."""
    return Ranking(spec.search.metric, _values, lambda trial: trial.constraints, first)


def _values(trial: FrozenTrial) -> list[float]:
    return list(trial.values)


def best_of(trials: Collection[FrozenTrial], ranking: Ranking[FrozenTrial]) -> FrozenTrial | None:
    """Return the best complete trial, the first of equals, or None."""
    return ranking.best(trial for trial in trials if trial.state == TrialState.COMPLETE)


def stalled(ended: Sequence[FrozenTrial], after: int, ranking: Ranking[FrozenTrial]) -> bool:
    """Tell whether the last trials that ended did not improve on the best before them.

    Without a complete trial before them there is nothing to improve on, and the cell goes on.

    Args:
        ended: every trial that ended, in whatever way.
        after: how many are the last.
        ranking: tells better trials from worse.
    """
    in_order = sorted(ended, key=lambda t: (t.datetime_complete.timestamp() if t.datetime_complete else 0.0, t.number))
    before, last = best_of(in_order[:-after], ranking), best_of(in_order[-after:], ranking)
    if before is None:
        return False
    return last is None or ranking.order(last) >= ranking.order(before)


def trained_epochs(trial: FrozenTrial) -> int:
    """Return the epochs trained for a trial; shared ones count for the trial that trained them."""
    shared = trial.user_attrs.get("shared_epochs", {})
    reached = max(trial.intermediate_values, default=0)
    return int(max(0, reached - shared.get("adopted", 0)) + shared.get("trained", 0))


def _bound_epochs(trial: FrozenTrial, budget: int) -> int:
    shared = trial.user_attrs.get("shared_epochs", {})
    return int(budget - shared.get("adopted", 0) + shared.get("trained", 0))


def remaining_capacity(spec: StudySpec, cell_counts: Collection[TrialCounts]) -> int | None:
    """Return how many whole trials the study's epochs still hold, or None where they are not limited."""
    total = spec.search.epochs_total
    if total is None:
        return None
    return max(0, total - sum(counts.epochs for counts in cell_counts)) // spec.training.epochs


def remaining(spec: StudySpec, cell_counts: Collection[TrialCounts]) -> int:
    """Return how many trials are yet to be started or ended; stopping some may make room for more."""
    left, fits = sum(counts.remaining for counts in cell_counts), remaining_capacity(spec, cell_counts)
    return sum(counts.running for counts in cell_counts) + (left if fits is None else min(left, fits))


def why_finished(spec: StudySpec, cell_counts: Collection[TrialCounts]) -> str:
    """Say which limits a study without remaining trials has reached, and how to raise them."""
    search = spec.search
    confirmed = "" if spec.confirm is None else f", confirmed with {spec.confirm.seeds} seeds"
    if all(counts.started >= search.trials for counts in cell_counts):
        return f"every cell has its {search.trials} trials{confirmed}. Raise the budget with --set search.trials=N."
    reached = [f"search.trials={search.trials}"]
    if any(counts.remaining for counts in cell_counts):
        reached = [f"search.epochs_total={search.epochs_total}"]
    elif search.stop_cell_after is not None:
        reached.append(f"search.stop_cell_after={search.stop_cell_after}")
    if search.searcher == "grid":
        reached.append("the end of the grid")
    limits = " or ".join(reached)
    return f"it has reached {limits}{confirmed}. Raise a limit with --set, for example --set search.trials=N."
