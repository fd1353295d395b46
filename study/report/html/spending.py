"""What a study cost and what it avoided: trials by state, epochs trained, pruned and shared, hours, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from study.store.study_view import STATES, CellView, StudyView, TrialView


@dataclass(frozen=True)
class Spending:
    """The trials of some cells, confirmation included.

    Attributes:
        name: the method, or ``all``.
        states: state -> number of search trials.
        confirming: number of confirmation trials that ended.
        epochs_search: epochs trained in the search.
        epochs_confirm: epochs trained in the confirmation.
        saved_pruning: epochs that pruned trials did not train.
        saved_sharing: epochs that other trials trained for them.
        hours: sum of the wall times of all trials.
    """

    name: str
    states: dict[str, int]
    confirming: int
    epochs_search: int
    epochs_confirm: int
    saved_pruning: int
    saved_sharing: int
    hours: float

    @property
    def trials(self) -> int:
        """Number of started search trials."""
        return sum(self.states.values())

    @property
    def epochs(self) -> int:
        """Epochs trained in all."""
        return self.epochs_search + self.epochs_confirm


def spending_of(name: str, cells: Sequence[CellView]) -> Spending:
    """Add up the trials of some cells."""
    searched = [trial for cell in cells for trial in cell.trials]
    confirming = [trial for cell in cells for trial in cell.confirming]
    return Spending(
        name,
        {state: sum(trial.state == state for trial in searched) for state in STATES},
        sum(trial.state != "RUNNING" for trial in confirming),
        sum(trial.epochs_trained for trial in searched),
        sum(trial.epochs_trained for trial in confirming),
        sum(cell.cell.base.training.epochs - trial.epochs for cell in cells for trial in cell.in_state("PRUNED")),
        sum(trial.epochs_shared for trial in (*searched, *confirming)),
        sum(map(_hours, (*searched, *confirming))),
    )


def spending_by_method(view: StudyView) -> list[Spending]:
    """Return the spending of every method, in the order of the study file, and of all as the last entry."""
    methods = dict.fromkeys(cell.cell.method for cell in view.cells)
    own = [spending_of(method, [cell for cell in view.cells if cell.cell.method == method]) for method in methods]
    return [*own, spending_of("all", view.cells)]


def _hours(trial: TrialView) -> float:
    if trial.started is None or trial.ended is None:
        return 0.0
    return max(0.0, (trial.ended - trial.started).total_seconds() / 3600)


def failures_of(view: StudyView) -> list[tuple[str, int, list[str]]]:
    """Return (reason, number of trials, methods) of the failed trials, the most frequent reason first."""
    failed = [t for cell in view.cells for t in (*cell.trials, *cell.confirming) if t.state == "FAIL"]
    found = Counter(map(reason_of, failed))
    return [
        (reason, count, list(dict.fromkeys(t.cell.method for t in failed if reason_of(t) == reason)))
        for reason, count in found.most_common()
    ]


def reason_of(trial: TrialView) -> str:
    """Return the last line of a failure's reason without its numbers, so that equal failures count together."""
    lines: Iterable[str] = (trial.reason or "").strip().splitlines()
    last = next(reversed(list(lines)), "no reason given")[:160]
    return "".join("#" if character.isdigit() else character for character in last)
