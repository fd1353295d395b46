"""Open the ledger's Optuna storage, and repair a journal whose writer was killed in the middle of a write."""

from __future__ import annotations

import os
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage

from study.ledger.journal_file import BadLine, ChangedLine, JournalFile
from trainables.core.errors import BadInput, shown
from trainables.core.kernel_lock import KernelLock
from trainables.core.patience import Patience
from trainables.core.storage_path import StoragePath
from trainables.core.url_secrets import masked, revealed

_PASSWORD_PLACES = (
    "the password comes from STUDY_LEDGER or the file of STUDY_LEDGER_FILE, which hold the whole URL, "
    "or with PostgreSQL from PGPASSWORD or ~/.pgpass"
)

_ELSEWHERE = (
    "; a machine that reaches it under another address (a forwarded port) reads it by `study status NAME --ledger URL`"
)

NOTHING_BEGAN = (
    ". Nothing has started, and nothing was changed: once the database answers, run the same command again; "
    "`study doctor` with STUDY_LEDGER set to this URL says what is wrong with it"
)

_PUT_BACK = "put back a copy of it, or start a new study"

_DAMAGE = (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError)
"""Optuna's errors for a damaged line: one that is not text, is not JSON, or is no operation that fits the ledger."""


class ClosedLedger(BadInput):
    """A ledger's database that does not answer, or refuses.

    Attributes:
        said: which, and why, without the advice.
    """

    def __init__(self, said: str, advice: str) -> None:
        """Join both to one message."""
        super().__init__(said + advice)
        self.said = said


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


def ledger_at(url: str) -> str:
    """Return what messages call a ledger in a database."""
    return f"the ledger {masked(url)}"


def open_storage(
    folder: StoragePath, url: str | None, *, writable: bool = True, patience: Patience | None = None
) -> BaseStorage:
    """Open the ledger's storage.

    Args:
        folder: the study's folder; holds ``ledger.journal`` if ``url`` is None.
        url: database URL, or None for the journal file. Its password may be in STUDY_LEDGER (docs/study-file.md).
        writable: True if the caller drives the study; only one process at a time may do so.
        patience: how long a driver waits for a database that goes away after it was opened. Others do not wait: their
            reads raise `ServiceAway`.

    Raises:
        ClosedLedger: the database cannot be opened.
        BadInput: the journal is damaged.
    """
    if url is not None:
        try:
            from study.ledger.patient_storage import PatientStorage  # imports SQLAlchemy

            patience = patience or Patience(ledger_at(url), 0.0)
            return PatientStorage(revealed(url, "STUDY_LEDGER"), patience)
        except Exception as error:  # SQLAlchemy and its drivers raise many types
            passwords = "password" in str(error).lower()
            said = f"records.ledger: cannot open {masked(url)}: {shown(error, 500)}"
            said += f"; {_PASSWORD_PLACES}" if passwords else ""
            raise ClosedLedger(said, NOTHING_BEGAN if writable else "" if passwords else _ELSEWHERE) from None
    if not isinstance(folder, Path):
        raise BadInput(f"records.ledger: {folder} is on object storage and its study file names no database")
    journal = folder / "ledger.journal"
    lock = KernelLock(folder / "ledger.lock")  # Optuna's own outlives its holder by half a minute
    try:
        if writable:
            with lock:
                _cut_torn_line(journal)
        file = JournalFile(journal, lock)
        return JournalStorage(file)
    except ChangedLine as error:
        raise BadInput(
            f"{journal}: {shown(str(error), 1000)}; put back a copy of the file. Without one: write the right value in "
            'its place, which the epochs in the trial\'s folder hold, and remove `,"crc32":"..."` from that line '
            "(docs/concepts.md#damaged-files)"
        ) from None
    except BadLine as error:
        raise BadInput(f"{journal}: {shown(str(error), 300)}; {_PUT_BACK}") from None
    except _DAMAGE as error:
        why = shown(f"{type(error).__name__}: {error}".removesuffix(": "), 200)
        raise BadInput(f"{journal}: line {file.lines_read} is damaged ({why}); {_PUT_BACK}") from None
    except OSError as error:
        raise BadInput(f"{journal}: cannot be opened ({error.strerror or error})") from None
