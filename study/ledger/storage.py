"""Open the ledger's Optuna storage, and repair a journal whose writer was killed in the middle of a write."""

from __future__ import annotations

import os
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from trainables.core.errors import BadInput
from trainables.core.kernel_lock import KernelLock
from trainables.core.storage_path import StoragePath


def _cut_torn_line(journal: Path) -> None:
    """Remove an unfinished record, which follows the last line break.

    Otherwise the next record would be appended to it and make the journal unreadable.
    """
    if not journal.exists() or journal.stat().st_size == 0:
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(journal, whole)


def open_storage(folder: StoragePath, url: str | None, *, writable: bool = True) -> BaseStorage:
    """Open the ledger's storage.

    Args:
        folder: the study's folder; holds ``ledger.journal`` if ``url`` is None.
        url: database URL, or None for the journal file.
        writable: True if the caller drives the study; only one process at a time may do so.

    Raises:
        BadInput: the database cannot be opened, or the journal is damaged.
    """
    if url is not None:
        try:
            from study.ledger.rdb_storage import BulkReadStorage  # imports SQLAlchemy

            return BulkReadStorage(url)
        except Exception as error:  # SQLAlchemy and its drivers raise many types
            raise BadInput(f"records.ledger: cannot open {_without_password(url)}: {error}") from None
    if not isinstance(folder, Path):
        raise BadInput(f"records.ledger: {folder} is on object storage and its study file names no database")
    journal = folder / "ledger.journal"
    lock = KernelLock(folder / "ledger.lock")  # Optuna's own outlives its holder by half a minute
    if writable:
        with lock:
            _cut_torn_line(journal)
    backend = JournalFileBackend(str(journal), lock_obj=lock)  # type: ignore[arg-type]  # only acquire, release
    try:
        return JournalStorage(backend)
    except ValueError as error:  # a line in the middle is not JSON or not text
        raise BadInput(f"{journal}: is damaged ({error}); put back a copy of it, or start a new study") from None


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
