"""The entries of the store of shared trainings: list, check and remove them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainables.core.archive_check import archive_damage
from trainables.core.config import TrialConfig
from trainables.core.locks import lock_at
from trainables.core.storage_path import StoragePath, StoredFile, files_below, remove_below
from trainables.core.trial_folder import TrialFolder

_KEY = re.compile(r"[0-9a-f]{32}")
_PIN = re.compile(r"state-(\d+)\.pt")


@dataclass(frozen=True)
class SharedEntry:
    """One shared training.

    Attributes:
        key: the name of its folder, a hash of all that determined it.
        config: what is trained; None where that cannot be read.
        pinned: epochs whose states are kept, rising; empty while it is trained for the first time.
        bytes: of all its files.
        used: when a trial last wrote or took a state.
    """

    key: str
    config: TrialConfig | None
    pinned: tuple[int, ...]
    bytes: int
    used: datetime


def shared_entries(store: StoragePath) -> list[SharedEntry]:
    """Return every shared training of a storage, the one that was used last first."""
    files: dict[str, list[StoredFile]] = {}
    for file in files_below(store):
        if _KEY.fullmatch(file.folder):
            files.setdefault(file.folder, []).append(file)
    found = [_entry(store / key, files[key]) for key in files]
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def _entry(folder: StoragePath, files: list[StoredFile]) -> SharedEntry:
    pins = sorted(int(match[1]) for file in files if (match := _PIN.fullmatch(file.name)))
    latest = max((file.modified for file in files if file.name != "lock"), default=0.0)
    return SharedEntry(
        folder.name,
        _config(folder),
        tuple(pins),
        sum(file.size for file in files),
        datetime.fromtimestamp(latest),
    )


def _config(folder: StoragePath) -> TrialConfig | None:
    stored = TrialFolder(folder).config()
    try:
        return TrialConfig.model_validate(stored["trial"]) if stored else None
    except (ValidationError, KeyError):
        return None


def shared_faults(store: StoragePath) -> tuple[int, list[str]]:
    """Read every shared training of a storage, of all its studies.

    Returns:
        The number of trainings, and a sentence on each damaged file.
    """
    faults, entries = [], shared_entries(store)
    for entry in entries:
        folder = store / entry.key
        again = f"`study shared --remove {entry.key}` removes it, and it is trained again when a trial needs it"
        faults += [f"{fault}; {again}" for fault in _faults(folder, entry)]
    return len(entries), faults


def _faults(folder: StoragePath, entry: SharedEntry) -> Iterator[str]:
    for path in sorted(path for path in folder.glob("*.pt") if not path.name.startswith(".")):
        try:
            damage = archive_damage(path.read_bytes())
        except FileNotFoundError:  # removed, or replaced by a newer one
            continue
        except OSError as error:
            damage = error.strerror or str(error)
        if damage is not None:
            yield f"{path}: is damaged ({damage})"
    try:
        yield from _described_wrongly(folder, entry)
    except OSError as error:
        yield f"{error.filename or folder}: cannot be read ({error.strerror or error})"


def _described_wrongly(folder: StoragePath, entry: SharedEntry) -> Iterator[str]:
    files = TrialFolder(folder)
    if (damaged := files.damaged_file("trial.json")) is not None:
        yield f"{damaged}: is damaged"
    identity = (files.config() or {}).get("identity")
    if identity is not None and key_of(identity) != entry.key:
        yield f"{folder / 'trial.json'}: was changed after it was written, it is not what the folder's name says"
    there = {result["epoch"] for result in files.history()}
    if lacking := sorted(set(range(1, max(entry.pinned, default=0) + 1)) - there):
        yield f"{folder}: lacks the results of epochs {', '.join(map(str, lacking))}"


def key_of(identity: dict[str, Any]) -> str:
    """Return the name of a training's folder: a hash of everything that determines its numbers."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def remove_entry(store: StoragePath, key: str, locks: str | None = None) -> bool:
    """Remove one shared training; return False, and leave it, while some process trains it.

    Args:
        store: the folder of all shared trainings.
        key: the training's.
        locks: URL of the database that holds the locks of a store on object storage.

    Raises:
        OSError: the database cannot be used, or a file cannot be deleted.
    """
    folder = store / key
    lock = lock_at(folder / "lock", locks)
    try:
        free = lock.try_acquire()
    except FileNotFoundError:  # somebody else removed it
        return True
    if not free:
        return not folder.exists()
    with lock:
        if isinstance(folder, Path):
            # out of sight in one step: whoever looks meanwhile finds all of it or nothing
            hidden = folder.with_name(f".removed-{key}")
            shutil.rmtree(hidden, ignore_errors=True)
            folder.rename(hidden)
            shutil.rmtree(hidden)
        else:
            # states first: a state that a killed removal left would be continued without its epochs
            for file in files_below(folder):
                if file.name.endswith(".pt"):
                    (folder / file.name).unlink(missing_ok=True)
            remove_below(folder)
    return True
