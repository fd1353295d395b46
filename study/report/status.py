"""How far a stored study is, cell by cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from study.report.tables import plain_table
from study.study_folder import StudyFolder, stored_names
from study.views import CellView, open_view
from trainables.errors import BadInput

Status = dict[str, Any]
HEADINGS = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def status_of(storage: Path, name: str) -> Status:
    """Return the state of a study, as ``study status --json`` prints it.

    Args:
        storage: the folder of all studies.
        name: of the study.

    Returns:
        ``study``, ``state`` (``running``, ``interrupted``, ``finished``) and ``cells``: per cell its name, data
        set, profile, ratio, method, trials per state, best value with its params, epochs trained, and epochs
        saved by pruning and by sharing.

    Raises:
        BadInput: no such study.
    """
    view = open_view(StudyFolder(storage, name))
    return {"study": name, "state": view.state, "cells": [_cell_status(cell) for cell in view.cells]}


def _cell_status(view: CellView) -> Status:
    best = view.best()
    return {
        "cell": view.cell.name,
        "dataset": view.cell.dataset,
        "profile": view.cell.profile,
        "ratio": view.cell.ratio,
        "method": view.cell.method,
        "states": view.counts(),
        "best": None if best is None else {"value": best.value, "params": best.values},
        "epochs_trained": sum(trial.epochs_trained for trial in view.trials),
        "epochs_saved": view.epochs_saved(),
    }


def print_status(status: Status, console: Console) -> None:
    """Print a status as a table."""
    table = plain_table()
    table.add_column("cell", no_wrap=True)
    # without a driver nothing runs: what was cut off waits for a resume
    headings = HEADINGS if status["state"] == "running" else HEADINGS | {"RUNNING": "cut off"}
    for column in (*headings.values(), "best", "trained", "spared"):
        table.add_column(column, justify="right")
    for cell in status["cells"]:
        best = cell["best"]
        table.add_row(
            cell["cell"],
            *(str(cell["states"][state]) for state in HEADINGS),
            "" if best is None else f"{best['value']:.4f}",
            str(cell["epochs_trained"]),
            str(cell["epochs_saved"]),
        )
    console.print(f"{status['study']}: {status['state']}", highlight=False)
    console.print(table, highlight=False)


def overview(storage: Path) -> list[Status]:
    """Return every stored study: name, state, trials done and in all, question; one that cannot be read says why."""
    return [_overview_of(storage, name) for name in stored_names(storage)]


def _overview_of(storage: Path, name: str) -> Status:
    try:
        view = open_view(StudyFolder(storage, name))
    except BadInput as error:
        return {"study": name, "state": "unreadable", "done": None, "trials": None, "question": str(error)}
    done = sum(len(cell.in_state("COMPLETE", "PRUNED", "FAIL")) for cell in view.cells)
    trials = view.spec.search.trials * len(view.cells)
    return {"study": name, "state": view.state, "done": done, "trials": trials, "question": view.spec.question}


def print_overview(studies: list[Status], console: Console, storage: Path) -> None:
    """Print every stored study in a line."""
    if not studies:
        console.print(f"no study in {storage}", highlight=False)
        return
    table = plain_table()
    table.add_column("study", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("question", overflow="fold")
    for study in studies:
        trials = "" if study["trials"] is None else f"{study['done']}/{study['trials']}"
        table.add_row(study["study"], study["state"], trials, study["question"])
    console.print(table, markup=False, highlight=False)
