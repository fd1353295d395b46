"""The remaining budget of a study, computed from the trials in the ledger alone."""

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
    """Counts of a cell's trials.

    Attributes:
        started: number of trials handed out.
        ended: number of trials that completed, were pruned or failed.
        epochs: number of trained epochs; running trials are charged in full.
        best: the complete trial with the best value, or None.
        remaining: number of trials that the cell may still start, `epochs_total` aside.
        charged: number of epochs charged to the cell under ``budget: epochs``, as `charged_epochs` counts them; 0
            under ``budget: trials``.
    """

    started: int
    ended: int
    epochs: int
    best: FrozenTrial | None
    remaining: int
    charged: int = 0

    @property
    def running(self) -> int:
        """Number of trials being trained or waiting for a resume."""
        return self.started - self.ended

    @property
    def done(self) -> bool:
        """True if the cell starts no more trials and all its trials have ended."""
        return self.remaining == 0 and self.running == 0


class TrialCounter:
    """Counts the trials of one cell again and again, and looks at a trial that has ended only once.

    A trial that has ended never changes, so that a count takes time for the others alone, give or take a look at the
    state of each.
    """

    def __init__(self, spec: StudySpec, cell: Cell) -> None:
        """Count nothing yet.

        Args:
            spec: the study, for its limits.
            cell: the cell.
        """
        self._spec, self._cell, self._ranking = spec, cell, ranking_of(spec)
        self._seen: set[int] = set()
        self._epochs = 0
        self._best: FrozenTrial | None = None

    def count(self, trials: Sequence[FrozenTrial]) -> TrialCounts:
        """Count the cell's trials.

        Args:
            trials: all of the cell's trials in the ledger; queued trials do not count.
        """
        ended = [trial for trial in trials if trial.state in ENDED]
        running = [trial for trial in trials if trial.state == TrialState.RUNNING]
        self._look_at([trial for trial in ended if trial.number not in self._seen])
        spec, started = self._spec, [*ended, *running]
        budget = spec.training.epochs
        charged = charged_epochs(spec, self._cell, started) if spec.search.budget == "epochs" else 0
        return TrialCounts(
            started=len(started),
            ended=len(ended),
            epochs=self._epochs + sum(max(budget, _bound_epochs(trial, budget)) for trial in running),
            best=self._best,
            remaining=_remaining(spec, self._cell, started, ended, charged),
            charged=charged,
        )

    def _look_at(self, trials: Collection[FrozenTrial]) -> None:
        """Add trials that have ended since the last count."""
        self._seen.update(trial.number for trial in trials)
        self._epochs += sum(map(trained_epochs, trials))
        candidates = trials if self._best is None else [self._best, *trials]
        self._best = best_of(sorted(candidates, key=lambda trial: trial.number), self._ranking)


def count_trials(spec: StudySpec, cell: Cell, trials: Sequence[FrozenTrial]) -> TrialCounts:
    """Count a cell's trials once; `TrialCounter` counts them repeatedly."""
    return TrialCounter(spec, cell).count(trials)


def charged_epochs(spec: StudySpec, cell: Cell, started: Collection[FrozenTrial]) -> int:
    """Return the number of epochs that a cell pays for under ``budget: epochs``.

    It pays for what it would train if it were alone, so that the number does not depend on the other cells: the epochs
    that each trial reached, a shared prefix once, and each reference training once. Running trials are charged in
    full. So are failed ones: a region that always diverges at once would otherwise be sampled forever.

    Args:
        spec: the study.
        cell: the cell.
        started: its trials that ended or are running.
    """
    budget, own, prefix = spec.training.epochs, 0, 0
    for trial in started:
        adopted = int(trial.user_attrs.get("shared_epochs", {}).get("adopted", 0))
        prefix = max(prefix, adopted)
        stopped = trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        own += max(0, (max(trial.intermediate_values, default=0) if stopped else budget) - adopted)
    return own + prefix + budget * len(_references(cell, started))


def _references(cell: Cell, started: Collection[FrozenTrial]) -> set[str]:
    """Return a name for each distinct reference training of a cell's trials; empty for a method without one.

    A reference has the trial's seed and training params, not its method's params.
    """
    if not cell.has_reference:
        return set()
    names, found = cell.searched_training, set()
    for trial in started:
        params = params_of(trial, cell.space)
        found.add(str([params[name] for name in names]) if cell.space else str(trial.number))
    return found


def _remaining(spec: StudySpec, cell: Cell, started: list[FrozenTrial], ended: list[FrozenTrial], charged: int) -> int:
    search = spec.search
    left = max(0, search.trials - len(started))
    if search.budget == "epochs":  # the next trial's params are not known yet, so it may need a reference of its own
        left = cell.startable(search.trials * spec.training.epochs - charged, first=not started)
    if not left or (search.stop_cell_after is not None and stalled(ended, search.stop_cell_after, ranking_of(spec))):
        return 0
    if search.searcher == "grid" and cell.space:
        grid = cell_grid(spec.seed, cell.name_without_fold, cell.space, search.grid_points)
        left = min(left, grid.count_untried(params_of(trial, cell.space) for trial in started))
    return left


def ranking_of(spec: StudySpec, first: str | None = None) -> Ranking[FrozenTrial]:
    """Return the ranking of a cell's complete trials; ``first`` is the metric to rank by if there are several."""
    return Ranking(spec.search.metric, _values, lambda trial: trial.constraints, first)


def _values(trial: FrozenTrial) -> list[float]:
    return list(trial.values)


def best_of(trials: Collection[FrozenTrial], ranking: Ranking[FrozenTrial]) -> FrozenTrial | None:
    """Return the best complete trial, the first among equals, or None."""
    return ranking.best(trial for trial in trials if trial.state == TrialState.COMPLETE)


def stalled(ended: Sequence[FrozenTrial], after: int, ranking: Ranking[FrozenTrial]) -> bool:
    """Return True if the last trials that ended did not improve on the best before them.

    Without an earlier complete trial there is nothing to improve on, and the cell continues.

    Args:
        ended: every trial that ended, in any state.
        after: number of last trials to compare.
        ranking: orders trials from best to worst.
    """
    in_order = sorted(ended, key=lambda t: (t.datetime_complete.timestamp() if t.datetime_complete else 0.0, t.number))
    before, last = best_of(in_order[:-after], ranking), best_of(in_order[-after:], ranking)
    if before is None:
        return False
    return last is None or ranking.order(last) >= ranking.order(before)


def trained_epochs(trial: FrozenTrial) -> int:
    """Return the number of epochs trained for a trial; shared ones count for the trial that trained them."""
    shared = trial.user_attrs.get("shared_epochs", {})
    reached = max(trial.intermediate_values, default=0)
    return int(max(0, reached - shared.get("adopted", 0)) + shared.get("trained", 0))


def _bound_epochs(trial: FrozenTrial, budget: int) -> int:
    shared = trial.user_attrs.get("shared_epochs", {})
    return int(budget - shared.get("adopted", 0) + shared.get("trained", 0))


def remaining_capacity(spec: StudySpec, cell_counts: Collection[TrialCounts]) -> int | None:
    """Return the number of full trials that fit the remaining `epochs_total`, or None if it is not set."""
    total = spec.search.epochs_total
    if total is None:
        return None
    return max(0, total - sum(counts.epochs for counts in cell_counts)) // spec.training.epochs


def remaining(spec: StudySpec, cell_counts: Collection[TrialCounts]) -> int:
    """Return the number of trials yet to start or end; pruning may free capacity for more."""
    left, fits = sum(counts.remaining for counts in cell_counts), remaining_capacity(spec, cell_counts)
    return sum(counts.running for counts in cell_counts) + (left if fits is None else min(left, fits))


def why_finished(spec: StudySpec, cell_counts: Collection[TrialCounts]) -> str:
    """Describe the limits that a study without remaining trials has reached, and how to raise them."""
    search = spec.search
    confirmed = "" if spec.confirm is None else f", confirmed with {spec.confirm.seeds_said} seeds"
    by_epochs = search.budget == "epochs"
    if not by_epochs and all(counts.started >= search.trials for counts in cell_counts):
        return f"every cell has its {search.trials} trials{confirmed}. Raise the budget with --set search.trials=N."
    reached = [f"search.trials={search.trials}"]
    if by_epochs:
        reached = [f"search.trials={search.trials} x {spec.training.epochs} epochs a cell (search.budget=epochs)"]
    if any(counts.remaining for counts in cell_counts):
        reached = [f"search.epochs_total={search.epochs_total}"]
    elif search.stop_cell_after is not None:
        reached.append(f"search.stop_cell_after={search.stop_cell_after}")
    if search.searcher == "grid":
        reached.append("the end of the grid")
    limits = " or ".join(reached)
    return f"it has reached {limits}{confirmed}. Raise a limit with --set, for example --set search.trials=N."
