"""Progress of a stored study, cell by cell."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from study.spec.confirmed_settings import confirmations_are_known, confirmed_at_most
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder, stored_names
from study.store.study_view import STATES, CellView, StudyView, TrialView, open_view
from study.terminal import plain_table, trial_count
from trainables.core.errors import BadInput, shown
from trainables.core.step_progress import StepProgress, read_step_progress
from trainables.core.storage_path import StoragePath

Status = dict[str, Any]
_LONGEST_REASON = 400
"""Characters of the one line that says why a study cannot be read."""
ENDED = ("COMPLETE", "PRUNED", "FAIL")
_STEPS = ("epoch", "step", "steps", "images_per_second")
HEADINGS = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def status_of(storage: StoragePath, name: str, ledger: str | None = None) -> Status:
    """Return the state of a study, as ``study status --json`` prints it.

    Args:
        storage: the folder of all studies.
        name: of the study.
        ledger: where this machine reaches the ledger's database; None takes the address of the study file.

    Returns:
        ``study``, ``state`` (``running``, ``interrupted``, ``finished``) and ``cells``: per cell its name, data
        set, profile, ratio, method, trials per state, best value with its epoch and params, epochs trained, and epochs
        saved by pruning and sharing. With several metrics also the ``front``; with constraints, whether the best
        is ``feasible``; with ``confirm``, how many confirmation trials have ended and how many are left. While the
        study runs, ``first_epochs``: of trials whose process has not ended an epoch yet, the ``trial``, ``epoch``,
        ``step``, ``steps`` and ``images_per_second``; and ``after_training``: of trials that have trained their last
        epoch, the ``trial`` and what it is ``doing``. Both are absent if there are none.

    Raises:
        BadInput: no such study.
    """
    view = open_view(StudyFolder(storage, name, read_ledger=ledger))
    state = view.state
    cells = [{**_cell_status(cell, view.spec), **_within_epochs(cell, state)} for cell in view.cells]
    return {"study": name, "state": state, "cells": cells}


def _within_epochs(view: CellView, state: str) -> Status:
    """Return what running trials do before their first epoch's end and after the last; a dead driver's have none."""
    if state != "running":
        return {}
    running = [trial for trial in view.all_trials if trial.state == "RUNNING"]
    first, after = [], []
    for trial in running:
        if (found := read_step_progress(trial.folder)) is None:
            continue
        if found.doing:
            after.append({"trial": trial.key, "doing": found.doing})
        elif found.epoch > trial.reported:
            first.append({"trial": trial.key, **{name: getattr(found, name) for name in _STEPS}})
    return {name: each for name, each in (("first_epochs", first), ("after_training", after)) if each}


def _cell_status(view: CellView, spec: StudySpec) -> Status:
    best = view.best()
    status: Status = {
        "cell": view.cell.name,
        "dataset": view.cell.dataset,
        "profile": view.cell.profile,
        "ratio": view.cell.ratio,
        "method": view.cell.method,
        "states": view.counts(),
        "best": None if best is None else {"value": best.value, "epoch": best.result_epoch, "params": best.params},
        "epochs_trained": sum(trial.epochs_trained for trial in view.trials),
        "epochs_saved": view.epochs_saved(),
    }
    if len(view.metrics) > 1:
        status["front"] = [_scored(view, trial) for trial in view.front()]
    if best is not None and spec.search.constraints:
        status["best"]["feasible"] = best.feasible
    if spec.confirm is not None:
        states = {state: sum(trial.state == state for trial in view.confirming) for state in STATES}
        status["confirmation"] = {"states": states, "left": view.unconfirmed(spec)}
    return status


def _scored(view: CellView, trial: TrialView) -> Status:
    values = dict(zip(view.metrics, trial.values or (), strict=True))
    return {"trial": trial.number, **values, "params": trial.params, "feasible": trial.feasible}


def print_status(status: Status, console: Console) -> None:
    """Print a status as a table."""
    table = plain_table()
    table.add_column("cell", no_wrap=True)
    headings = dict(HEADINGS)
    if status["state"] != "running":  # without a driver no trial runs: an interrupted one waits for a resume
        headings["RUNNING"] = "interrupted"
    if status["state"] == "finished":
        del headings["RUNNING"]
    confirms = any("confirmation" in cell for cell in status["cells"])
    for column in (*headings.values(), "best", "trained", "saved", *(["confirmed"] if confirms else [])):
        table.add_column(column, justify="right")
    for cell in status["cells"]:
        best = cell["best"]
        table.add_row(
            cell["cell"],
            *(str(cell["states"][state]) for state in headings),
            "" if best is None else f"{best['value']:.4f}",
            str(cell["epochs_trained"]),
            str(cell["epochs_saved"]),
            *([_confirmed(cell)] if confirms else []),
        )
    console.print(f"{status['study']}: {status['state']}", highlight=False)
    console.print(table, highlight=False)
    for cell in status["cells"]:
        said = {
            found["trial"]: StepProgress(*(found[name] for name in _STEPS)) for found in cell.get("first_epochs", ())
        }
        said |= {found["trial"]: found["doing"] for found in cell.get("after_training", ())}
        for trial, doing in said.items():
            console.print(f"{trial}: {doing}", highlight=False, markup=False)


def _confirmed(cell: Status) -> str:
    states = cell["confirmation"]["states"]
    ended = sum(states[state] for state in ENDED)
    return f"{ended}/{ended + cell['confirmation']['left']}"


def overview(storage: StoragePath, ledger: str | None = None) -> list[Status]:
    """Return all stored studies: name, state, trials done and in total, question; an unreadable one says why.

    ``trials_exact`` is false while the total is an upper bound: the number of settings to confirm, or of
    the seeds of a race, is not known yet.

    Args:
        storage: the folder of all studies.
        ledger: as in `status_of`.
    """
    return [_overview_of(storage, name, ledger) for name in stored_names(storage)]


def _overview_of(storage: StoragePath, name: str, ledger: str | None) -> Status:
    try:
        return _counted(name, open_view(StudyFolder(storage, name, read_ledger=ledger)))
    except BadInput as error:
        return _unreadable(name, str(error))
    except Exception as error:  # whatever is wrong with one study must not hide the others
        return _unreadable(name, f"{type(error).__name__}: {error}")


def _counted(name: str, view: StudyView) -> Status:
    done = sum(len(cell.in_state(*ENDED)) for cell in view.cells)
    confirmed = sum(trial.state in ENDED for cell in view.cells for trial in cell.confirming)
    searching = view.remaining()
    unconfirmed = sum(cell.unconfirmed(view.spec) for cell in view.cells)
    races = view.spec.confirm is not None and view.spec.confirm.race is not None and unconfirmed > 0
    exact = confirmations_are_known(view.spec, (cell.cell for cell in view.cells)) or not (searching or races)
    if searching or races:
        confirming = sum(confirmed_at_most(view.spec, cell.cell) for cell in view.cells)
    else:
        confirming = confirmed + unconfirmed
    return {
        "study": name,
        "state": view.state,
        "done": done + confirmed,
        "trials": done + searching + confirming,
        "trials_exact": exact,
        "question": view.spec.question,
    }


def _unreadable(name: str, why: str) -> Status:
    return {
        "study": name,
        "state": "unreadable",
        "done": None,
        "trials": None,
        "trials_exact": True,
        "question": shown(why, _LONGEST_REASON),
    }


def print_overview(studies: list[Status], console: Console, storage: StoragePath) -> None:
    """Print one row per stored study."""
    if not studies:
        console.print(f"no study in {storage}", highlight=False)
        return
    table = plain_table()
    table.add_column("study", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("question", overflow="fold")
    for study in studies:
        trials = (
            "" if study["trials"] is None else trial_count(study["done"], study["trials"], exact=study["trials_exact"])
        )
        table.add_row(study["study"], study["state"], trials, study["question"])
    console.print(table, markup=False, highlight=False)
