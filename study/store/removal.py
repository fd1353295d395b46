"""Removal of a stored study: its folder and its ledger; MLflow's runs and shared trainings stay."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.ledger.optuna_internals import study_ids
from study.ledger.storage import open_storage
from study.spec.limited_yaml import STORED
from study.spec.yaml_io import read_yaml
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput
from trainables.core.storage_path import files_below, remove_below
from trainables.core.trial_folder import PACK
from trainables.core.url_secrets import hidden


@dataclass(frozen=True)
class Holdings:
    """What a stored study holds.

    Attributes:
        files: number of files in its folder.
        bytes: their size.
        trials: number of trial folders.
        ledger: URL of its ledger, without the password, if that is a database; else None: it is in the folder.
    """

    files: int
    bytes: int
    trials: int
    ledger: str | None


def holdings(folder: StudyFolder) -> Holdings:
    """Look at what a removal would delete. The study file need not be one that this program understands.

    Raises:
        BadInput: no such study (the nearest name is given), or its file is not YAML.
    """
    url = _ledger_url(folder)
    files = list(files_below(folder.path))
    trials = len({file.folder for file in files if file.name in ("trial.json", PACK)})
    return Holdings(len(files), sum(file.size for file in files), trials, url)


def remove_study(folder: StudyFolder) -> None:
    """Delete a study's folder, and its Optuna studies where the ledger is a database.

    The folder is renamed before it is deleted: a removal that is killed leaves no half of a study. On object storage
    the study file is deleted first; what a kill leaves then, the next study of this name removes.

    Raises:
        BadInput: no such study, a process drives it, or something cannot be deleted.
    """
    url = _ledger_url(folder)
    with folder.driver_lock():
        if url is not None:
            storage = open_storage(folder.path, url)
            for name, number in study_ids(storage).items():
                if name.startswith(f"{folder.name}/"):
                    storage.delete_study(number)
        try:
            if isinstance(folder.path, Path):
                doomed = folder.path.with_name(f".removed-{folder.name}-{uuid.uuid4().hex}")
                folder.path.rename(doomed)
                shutil.rmtree(doomed)
            else:
                folder.spec_path.unlink(missing_ok=True)
                remove_below(folder.path)
        except OSError as error:
            raise BadInput(f"cannot delete {error.filename or folder.path}: {error.strerror}") from None


def _ledger_url(folder: StudyFolder) -> str | None:
    if not folder.spec_path.exists():
        folder.read_spec()  # raises, with the nearest name
    records: Any = read_yaml(folder.spec_path, STORED).get("records")
    url = records.get("ledger") if isinstance(records, dict) else None
    try:
        return hidden(url) if isinstance(url, str) else None
    except ValueError as error:
        raise BadInput(f"{folder.spec_path}: records.ledger: the URL {error}") from None
