"""Decides after a study's Slurm job whether another one follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from study.slurm.batch_script import slurm_folder
from study.store.study_folder import SHARED, StudyFolder
from study.store.study_view import StudyView, open_view
from trainables.core.errors import BadInput
from trainables.core.storage_path import write_atomically

IDLE_JOBS = 2
"""Successive jobs without progress after which a study is given up."""

_SIGNALLED = 128
"""A program that a signal ended has an exit code above this."""


class Decision(NamedTuple):
    """Whether another job follows, and why. ``failed``: none follows, and the study is not finished."""

    again: bool
    why: str
    failed: bool = False


def decide(folder: StudyFolder, exit_code: int) -> Decision:
    """Decide whether a study needs another job, and store how far it is.

    A finished study needs none. One that was stopped needs another, unless neither this job nor the one before ended
    an epoch. One that failed needs none: the next job would fail likewise.

    Args:
        folder: of the study.
        exit_code: of the job's driver.

    Raises:
        BadInput: the study is stored and cannot be read.
    """
    view = open_view(folder) if folder.spec_path.exists() else None
    if view is not None and view.state == "finished":
        return Decision(False, f"study '{folder.name}' is finished: {folder.command('report')}")
    if exit_code == 0:
        return Decision(False, f"study '{folder.name}' reached its limit of hours (search.wall_hours)")
    if exit_code <= _SIGNALLED:
        return Decision(
            False,
            f"study '{folder.name}' failed with exit code {exit_code}, as said above; no job follows",
            failed=True,
        )
    done, before = progress(view, slurm_folder(folder).parents[1]), _stored(folder)
    idle = before.get("idle", 0) + 1 if done == before.get("done", 0) else 0
    write_atomically(_path(folder), json.dumps({"done": done, "idle": idle}).encode())
    if idle >= IDLE_JOBS:
        return Decision(
            False,
            f"study '{folder.name}': {idle} successive jobs ended without a new epoch; no job follows. "
            "An epoch may take longer than the wall time: raise --time",
            failed=True,
        )
    return Decision(True, f"study '{folder.name}' continues in another job")


def progress(view: StudyView | None, storage: Path) -> int:
    """Return a number that rises with every epoch and every trial that ends; shared trainings count too."""
    if view is None:
        return 0
    trials = [trial for cell in view.cells for trial in cell.all_trials]
    shared = sum(file.read_bytes().count(b"\n") for file in (storage / SHARED).glob("*/epochs-*.jsonl"))
    return sum(trial.epochs + (trial.state != "RUNNING") for trial in trials) + shared


def _path(folder: StudyFolder) -> Path:
    return slurm_folder(folder) / "progress.json"


def _stored(folder: StudyFolder) -> dict[str, int]:
    try:
        stored = json.loads(_path(folder).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadInput(f"{_path(folder)}: cannot be read ({error}); remove it") from None
    return {key: int(stored.get(key, 0)) for key in ("done", "idle")}
