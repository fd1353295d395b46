"""The journal file of a ledger: every line has a checksum, and a write that fails leaves no part of a line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend

from study.ledger.journal_lines import line_fault
from trainables.core.kernel_lock import KernelLock
from trainables.core.line_checksum import checksum, is_whole
from trainables.core.object_path import StorageFault

_CREATES_STUDY, _CREATES_TRIAL = 0, 4
"""Operations of Optuna's journal: study and trial ids count them."""


class ChangedLine(ValueError):
    """A line of the journal is not what was written; the message names the line, and the trial if it can be read."""


class BadLine(ValueError):
    """A line of the journal without a checksum is no operation; the message names the line and the field."""


class JournalFile(BaseJournalBackend):
    """Optuna's journal, as its own `JournalFileBackend` writes it but for a last key ``crc32`` of every line.

    Optuna ignores the key. Lines without it, of an earlier version, are read unchecked. A last line without a line
    break is being written, or was cut off by a kill; it is not read.
    """

    def __init__(self, path: Path, lock: KernelLock) -> None:
        """Open the journal, and create it if it is missing.

        Args:
            path: the file.
            lock: held while a line is written.
        """
        self._path, self._lock = path, lock
        if not path.exists():
            path.open("ab").close()
        self._read_until = (0, 0)
        """Number of lines read, and the bytes that they take."""

    @property
    def lines_read(self) -> int:
        """Number of lines read so far; while operations are yielded, that of the line read last."""
        return self._read_until[0]

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Yield the operations from a line on, counted from 0.

        Raises:
            ChangedLine: a line differs from its checksum.
            BadLine: a line is not JSON, or has a field of another kind.
        """
        number, offset = self._read_until if self._read_until[0] <= log_number_from else (0, 0)
        with self._opened("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                if number >= log_number_from and not is_whole(line):
                    raise ChangedLine(self._describe(number, line))
                number, offset = number + 1, offset + len(line)
                if number > log_number_from:
                    log = _operation(number, line)
                    self._read_until = number, offset
                    yield log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add operations; they are on the disk when this returns.

        Raises:
            OSError: the file cannot be written; it then ends as before.
            StorageFault: it is not there any more.
        """
        left = memoryview(b"".join(map(_line, logs)))
        with self._lock, self._opened("r+b", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            try:
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # what stays is cut off when the ledger is opened again
                    file.truncate(before)
                raise

    def _opened(self, mode: str, buffering: int = -1) -> Any:
        """Open the file, which is there since the ledger was opened.

        Raises:
            StorageFault: it is not there any more.
        """
        try:
            return self._path.open(mode, buffering=buffering)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            said = f"the ledger {self._path} is gone: its folder was moved or removed, or its file system went away"
            raise StorageFault(errno.EIO, said) from None

    def _describe(self, number: int, line: bytes) -> str:
        said = f"line {number + 1} was changed after it was written, its checksum differs"
        try:
            changed = json.loads(line)
            trial = self._trial(int(changed["trial_id"]), number)
            what = {name: value for name, value in changed.items() if name not in _NOT_SHOWN}
        except (ValueError, KeyError, TypeError, IndexError):
            return said
        return f"{said}; it now says {json.dumps(what)} of trial {trial}"

    def _trial(self, trial_id: int, lines: int) -> str:
        """Return study and number of a trial, from the lines before this one."""
        studies: list[str] = []
        of_trial: list[int] = []
        with self._path.open("rb") as file:
            for _, line in zip(range(lines), file, strict=False):
                log = json.loads(line)
                if log["op_code"] == _CREATES_STUDY and log["study_name"] not in studies:
                    studies.append(log["study_name"])
                elif log["op_code"] == _CREATES_TRIAL:
                    of_trial.append(log["study_id"])
        study = of_trial[trial_id]
        return f"{studies[study].partition('/')[2]}/{of_trial[:trial_id].count(study):05d}"


_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_NOT_SHOWN = {"op_code", "worker_id", "trial_id", "crc32", "datetime_start", "datetime_complete", "distribution"}


def _operation(number: int, line: bytes) -> dict[str, Any]:
    """Return a line's operation; ``number`` counts the lines up to this one."""
    try:
        log: dict[str, Any] = json.loads(line)
    except UnicodeDecodeError as error:
        raise BadLine(f"line {number} is not text: byte {error.start + 1} is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadLine(f"line {number} is not JSON: {error.msg} at character {error.colno}") from None
    except RecursionError:
        raise BadLine(f"line {number} is not JSON: brackets are nested too deep") from None
    # a line with its checksum is what was written
    if b'"crc32"' not in line and (fault := line_fault(log)) is not None:
        raise BadLine(f"line {number}: {fault}")
    return log


def _line(log: dict[str, Any]) -> bytes:
    r"""Return an operation as a line with its checksum.

    >>> _line({"op_code": 7, "step": 1})
    b'{"op_code":7,"step":1,"crc32":"597dd9e1"}\n'
    """
    said = json.dumps(log, separators=(",", ":")).encode()[:-1]
    return said + b',"crc32":"%s"}\n' % checksum(said).encode()
