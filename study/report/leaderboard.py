"""The leaderboard: the best trial of each cell, and on demand all trials."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from study.report.cross_validation import FoldedSetting, folded_settings
from study.report.precisions import mixed, precision_line, precisions_of
from study.search.trial_params import params_text
from study.store.study_folder import StudyFolder
from study.store.study_view import CellView, StudyView, TrialView, listed, open_view
from study.terminal import plain_table
from trainables.core.errors import unknown_name
from trainables.core.metric_names import METRICS

BEST_FOLDED = 5
"""Number of settings of a method that the table of a cross-validation shows, best mean first."""

HEADINGS = {"balanced_accuracy": "bal acc", "geometric_mean": "g-mean", "worst_recall": "worst"}
"""Metrics that every table shows, at a trial's selected epoch -> their column headings."""


def print_leaderboard(
    folder: StudyFolder,
    console: Console,
    *,
    every_trial: bool = False,
    method: str | None = None,
    notes: bool = False,
) -> None:
    """Print for each data set and profile the methods from best to worst, each with its best trial.

    With several metrics, each method has one row per trial on its Pareto front. A cross-validation also has a table of
    mean and deviation over the folds for each method's best settings that all folds have trained. Long tables of trials
    come first, so that the leaderboard ends the output.

    Args:
        folder: the stored study.
        console: output.
        every_trial: also print all trials of each cell, and ``notes``.
        method: label of the only method to show; None shows all.
        notes: also print what the methods' own metrics say of trials, why trials failed, and the precision. Mixed
            precisions are always named.

    Raises:
        BadInput: no such study, or no such method in it.
    """
    view = open_view(folder)
    chosen = cells_of(view, method)
    if every_trial:
        for cell in chosen:
            console.print()
            console.print(_trials(view, cell), highlight=False)
    folded = folded_settings(chosen)
    for name, settings in groupby(folded, key=lambda setting: setting.cell):
        console.print()
        console.print(_over_folds(view.spec.search.metrics[0], name, list(settings)), highlight=False)
    for place, cells in groupby(chosen, key=lambda cell: (cell.cell.dataset, cell.cell.profile)):
        console.print()
        console.print(_best_per_method(view, " ".join(place), list(cells)), highlight=False)
    found = precisions_of(chosen)
    if every_trial or notes:
        for note in (note for cell in chosen for note in _notes(cell)):
            console.print(note, highlight=False, markup=False)
    if every_trial or notes or mixed(found):
        console.print(precision_line(found), highlight=False, style="yellow" if mixed(found) else None)


def cells_of(view: StudyView, method: str | None) -> list[CellView]:
    """Return the cells of a method, by its label or its name; None returns all.

    Raises:
        BadInput: the study has no such method.
    """
    if method is None:
        return list(view.cells)
    labelled = [cell for cell in view.cells if cell.cell.method == method]
    chosen = labelled or [cell for cell in view.cells if cell.cell.base.method.name == method]
    if not chosen:
        raise unknown_name(f"method of study '{view.spec.name}':", method, {cell.cell.method for cell in view.cells})
    return chosen


def leaderboard_as_json(view: StudyView, method: str | None = None) -> list[dict[str, Any]]:
    """Return every cell with all its trials, of search and confirmation, as JSON-ready objects.

    Args:
        view: the study.
        method: label of the only method to return; None returns all.

    Returns:
        Per cell its name, data set, profile, method, metrics, the number of its ``best`` trial (None without one) and
        of those on the ``front``, notices, and ``trials`` from best to worst: number, phase, state, param_source,
        params, seed, epochs, result_epoch, the ``metrics`` of that epoch, constraint_violation, reason.
    """
    return [_cell_as_json(cell) for cell in cells_of(view, method)]


def _cell_as_json(cell: CellView) -> dict[str, Any]:
    best = cell.best()
    return {
        "cell": cell.cell.name,
        "dataset": cell.cell.dataset,
        "profile": cell.cell.profile,
        "method": cell.cell.method,
        "metrics": list(cell.metrics),
        "best": None if best is None else best.number,
        "front": [trial.number for trial in cell.front()],
        "notices": cell.notices(),
        "trials": [_trial_as_json(trial) for trial in (*cell.ranked(), *cell.confirming)],
    }


def _trial_as_json(trial: TrialView) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "phase": trial.phase,
        "state": trial.state,
        "param_source": trial.param_source,
        "params": trial.params,
        "seed": trial.config.seed,
        "epochs": trial.epochs,
        "result_epoch": trial.result_epoch,
        "metrics": {name: value for name, value in trial.result().items() if name in METRICS},
        "constraint_violation": trial.constraint_violation,
        "reason": trial.reason,
    }


def _notes(cell: CellView) -> list[str]:
    """Say what the method's own metrics say of trials, and why trials failed, each reason once."""
    reasons: dict[str, list[int]] = {}
    for trial in cell.in_state("FAIL"):
        reasons.setdefault(_last_line(trial.reason or ""), []).append(trial.number)
    failed = [f"{cell.cell.name}: {listed(numbers, 0)} failed: {reason}" for reason, numbers in reasons.items()]
    unconfirmed = [
        f"{cell.cell.name}: confirmation with seed {trial.config.seed} failed: {_last_line(trial.reason or '')}"
        for trial in cell.confirming
        if trial.state == "FAIL"
    ]
    return [*(f"{cell.cell.name}: {notice}" for notice in cell.notices()), *failed, *unconfirmed]


def _over_folds(metric: str, name: str, settings: list[FoldedSetting]) -> Table:
    """Return the table of the best settings that all folds have trained."""
    table = plain_table(f"{name}: {metric} over {len(settings[0].values)} folds")
    for column in ("mean", "deviation"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("folds", no_wrap=True)
    table.add_column("seed", justify="right", no_wrap=True)
    table.add_column("params", min_width=22, overflow="fold")
    for one in settings[:BEST_FOLDED]:
        values = " ".join(f"{value:.4f}" for value in one.values)
        table.add_row(f"{one.mean:.4f}", f"{one.deviation:.4f}", values, str(one.seed), params_text(one.params))
    return table


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
    selects = view.spec.search.select_by is not None
    named = ("epoch",) if selects else ()
    table = _table(title, view, ("method", "trials", "pruned", "failed", *named), ("best params",))
    for cell in sorted(cells, key=_rank):
        counts, front = cell.counts(), cell.front()
        ended = len(cell.trials) - counts["RUNNING"]
        about = (cell.cell.method, str(ended), str(counts["PRUNED"]), str(counts["FAIL"]))
        if not front:
            table.add_row(*about, *([""] if selects else []), *_metrics(view, None), "no complete trial")
        for trial in front:
            violation = "" if trial.feasible else "; violates " + _violation(trial)
            epoch = [str(trial.result_epoch)] if selects else []
            table.add_row(*about, *epoch, *_metrics(view, trial), params_text(trial.params) + violation)
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
            str(trial.epochs) if trial.selected_epoch is None else f"{trial.epochs}, best {trial.selected_epoch}",
            *_metrics(view, trial),
            params_text(trial.params)
            if trial.reason is None
            else f"{params_text(trial.params)}; {_short(trial.reason)}",
        )
    return table


def _metrics(view: StudyView, trial: TrialView | None) -> list[str]:
    columns = _metric_columns(view)
    if trial is None:
        return [""] * len(columns)
    result = trial.result()
    return [f"{result[name]:.4f}" if result.get(name) is not None else "" for name, _ in columns]


def _short(reason: str) -> str:
    # escaped: rich would read brackets as a style and drop them
    return escape(_last_line(reason))


def _last_line(reason: str) -> str:
    return (reason.strip().splitlines() or ["no reason given"])[-1][:120]
