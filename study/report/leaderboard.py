"""The leaderboard: the best trial of each cell, and on demand all trials."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.store.study_folder import StudyFolder
from study.store.study_view import CellView, StudyView, TrialView, open_view
from study.terminal import plain_table

HEADINGS = {"balanced_accuracy": "bal acc", "geometric_mean": "g-mean", "worst_recall": "worst"}
"""Last-epoch metrics that every table shows -> their column headings."""


def print_leaderboard(folder: StudyFolder, console: Console, *, every_trial: bool = False) -> None:
    """Print for each data set and profile the methods from best to worst, each with its best trial.

    With several metrics, each method has one row per trial on its Pareto front.

    Args:
        folder: the stored study.
        console: output.
        every_trial: also print all trials of each cell, and what their method's own metrics say of them.

    Raises:
        BadInput: no such study.
    """
    view = open_view(folder)
    for place, cells in groupby(view.cells, key=lambda cell: (cell.cell.dataset, cell.cell.profile)):
        console.print()
        console.print(_best_per_method(view, " ".join(place), list(cells)), highlight=False)
    if every_trial:
        for cell in view.cells:
            console.print()
            console.print(_trials(view, cell), highlight=False)
            for notice in cell.notices():
                console.print(notice, highlight=False, markup=False)


def _metric_columns(view: StudyView) -> list[tuple[str, str]]:
    decides = view.spec.search.recorded
    return list({**{name: HEADINGS.get(name, name) for name in decides}, **HEADINGS}.items())


def _table(title: str, view: StudyView, first: tuple[str, ...], last: tuple[str, ...]) -> Table:
    table = plain_table(title)
    for column in first:
        table.add_column(column, no_wrap=True)
    for _, heading in _metric_columns(view):
        table.add_column(heading, justify="right", no_wrap=True)
    for column in last:
        table.add_column(column, min_width=22, overflow="fold")
    return table


def _best_per_method(view: StudyView, title: str, cells: list[CellView]) -> Table:
    table = _table(title, view, ("method", "trials", "pruned", "failed"), ("best params",))
    for cell in sorted(cells, key=_rank):
        counts, front = cell.counts(), cell.front()
        about = (cell.cell.method, str(len(cell.trials)), str(counts["PRUNED"]), str(counts["FAIL"]))
        if not front:
            table.add_row(*about, *_metrics(view, None), "no complete trial")
        for trial in front:
            violation = "" if trial.feasible else "; violates " + _violation(trial)
            table.add_row(*about, *_metrics(view, trial), _params(trial.params) + violation)
            about = ("", "", "", "")
    return table


def _rank(cell: CellView) -> tuple[float, ...]:
    best = cell.best()
    return (float("inf"),) if best is None else cell.order(best)


def _violation(trial: TrialView) -> str:
    """Return the violated constraints and their violations."""
    return ", ".join(f"{name} by {value:.4f}" for name, value in trial.constraint_violation.items() if value > 0)


def _trials(view: StudyView, cell: CellView) -> Table:
    said = "" if len(cell.metrics) == 1 else " (*: on the Pareto front)"
    table = _table(f"{cell.cell.name}{said}", view, ("trial", "from", "state", "epochs"), ("params",))
    front = {trial.number for trial in cell.front()} if len(cell.metrics) > 1 else set()
    # without a driver no trial runs: an interrupted one waits for a resume
    said_of = {} if view.folder.is_driven() else {"RUNNING": "interrupted"}
    for trial in cell.ranked():
        table.add_row(
            f"{trial.number}*" if trial.number in front else str(trial.number),
            trial.param_source,
            said_of.get(trial.state, trial.state),
            str(trial.epochs),
            *_metrics(view, trial),
            _params(trial.params) if trial.reason is None else f"{_params(trial.params)}; {_short(trial.reason)}",
        )
    return table


def _metrics(view: StudyView, trial: TrialView | None) -> list[str]:
    columns = _metric_columns(view)
    if trial is None:
        return [""] * len(columns)
    result = trial.last_epoch_result()
    return [f"{result[name]:.4f}" if result.get(name) is not None else "" for name, _ in columns]


def _params(params: dict[str, Any]) -> str:
    shown = (f"{name.removeprefix('training.')}={_number(value)}" for name, value in params.items())
    return ", ".join(shown) or "nothing searched"


def _number(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _short(reason: str) -> str:
    # escaped: rich would read brackets as a style and drop them
    return escape((reason.strip().splitlines() or ["no reason given"])[-1][:120])
