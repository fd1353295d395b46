"""Open the Optuna storage that the ledger writes to; survive a process killed in the middle of a write."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from trainables.core.errors import BadInput


class _FlockLock:
    """A lock that the kernel frees when its holder dies; Optuna's own outlives it by half a minute."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        self._file = self._path.open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _cut_torn_line(journal: Path) -> None:
    """Remove what follows the last line break: a record that a dying process did not finish.

    Left there, the next record would be glued to it and the journal could never be read again.
    """
    if not journal.exists() or journal.stat().st_size == 0:
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(journal, whole)


def open_storage(folder: Path, url: str | None, *, writable: bool = True) -> BaseStorage:
    """Open the ledger's storage.

    Args:
        folder: the study's folder; holds ``ledger.journal`` where no database is named.
        url: database URL, or None for the journal file.
        writable: whether the caller drives the study; only one process at a time may.

    Raises:
        BadInput: the database cannot be reached.
    """
    if url is not None:
        try:
            from study.ledger.rdb_storage import BulkReadStorage  # imports SQLAlchemy

            return BulkReadStorage(url)
        except Exception as error:  # SQLAlchemy and its drivers raise many kinds
            raise BadInput(f"records.ledger: cannot open {_without_password(url)}: {error}") from None
    journal = folder / "ledger.journal"
    lock = _FlockLock(folder / "ledger.lock")
    if writable:
        lock.acquire()
        try:
            _cut_torn_line(journal)
        finally:
            lock.release()
    backend = JournalFileBackend(str(journal), lock_obj=lock)  # type: ignore[arg-type]  # only acquire, release
    try:
        return JournalStorage(backend)
    except ValueError as error:  # a line in the middle that is not JSON, or not even text
        raise BadInput(f"{journal}: is damaged ({error}); put back a copy of it, or start a new study") from None


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
