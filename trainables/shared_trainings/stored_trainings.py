"""The entries of the store of shared trainings: list and remove them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from trainables.core.config import TrialConfig
from trainables.core.kernel_lock import KernelLock
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


def shared_entries(store: Path) -> list[SharedEntry]:
    """Return every shared training of a storage, the one that was used last first."""
    found = [_entry(folder) for folder in store.glob("*/") if _KEY.fullmatch(folder.name)]
    return sorted(found, key=lambda entry: entry.used, reverse=True)


def _entry(folder: Path) -> SharedEntry:
    stats = dict(_stats(folder))
    pins = sorted(int(match[1]) for name in stats if (match := _PIN.fullmatch(name)))
    latest = max((found.st_mtime for name, found in stats.items() if name != "lock"), default=0.0)
    return SharedEntry(
        folder.name,
        _config(folder),
        tuple(pins),
        sum(found.st_size for found in stats.values()),
        datetime.fromtimestamp(latest),
    )


def _stats(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files that are there; whoever trains replaces some at any moment, and may remove the folder."""
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            with suppress(FileNotFoundError):
                yield path.name, path.stat()


def _config(folder: Path) -> TrialConfig | None:
    stored = TrialFolder(folder).config()
    try:
        return TrialConfig.model_validate(stored["trial"]) if stored else None
    except (ValidationError, KeyError):
        return None


def remove_entry(store: Path, key: str) -> bool:
    """Remove one shared training; return False, and leave it, while some process trains it."""
    folder = store / key
    lock = KernelLock(folder / "lock")
    try:
        free = lock.try_acquire()
    except FileNotFoundError:  # somebody else removed it
        return True
    if not free:
        return not folder.exists()
    with lock:
        # out of sight in one step: whoever looks meanwhile finds all of it or nothing
        hidden = folder.with_name(f".removed-{key}")
        shutil.rmtree(hidden, ignore_errors=True)
        folder.rename(hidden)
        shutil.rmtree(hidden)
    return True
