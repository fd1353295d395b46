"""An exclusive lock on a file that the kernel frees when its holder dies."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from trainables.core.errors import shown
from trainables.core.polled_lock import PolledLock, own_name

_POLL = 0.01
"""Seconds between two attempts at a lock that another holds."""

_LONGEST_NAME = 200

_PROBE_PATIENCE = 0.03
"""Seconds after which a lock is called held. Two probes hold it for microseconds, a driver for hours."""


class KernelLock(PolledLock):
    """One holder's claim to a lock file.

    The lock is `filelock`'s native one, taken on a file descriptor of our own: `FileLock` on the same path contends
    with it. It never falls back to a lock that outlives its holder, and it never creates a folder. The lock file
    stays where it is; a stale one locks nobody out.
    """

    poll = _POLL

    def __init__(self, path: Path) -> None:
        """Name the lock file; nothing is opened."""
        self.path = path
        self._file: IO[bytes] | None = None

    @property
    def held(self) -> bool:
        """True if this object holds the lock."""
        return self._file is not None

    def still_held(self) -> bool:
        """Return True if this object holds the lock, which nothing but a release frees while its process lives."""
        return self.held

    def sign(self) -> None:
        """Write this process's name into the lock file."""
        with suppress(OSError):  # a full disk: the lock is held all the same
            if self._file is not None:
                self._file.truncate(0)
                self._file.write(own_name().encode())
                self._file.flush()

    def holder(self) -> str | None:
        """Return what the holder has written into the lock file."""
        with suppress(OSError), self.path.open("rb") as file:
            return shown(file.read(_LONGEST_NAME).decode(errors="replace")) or None
        return None

    def release(self) -> None:
        """Free the lock; without effect if it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _attempt(self) -> bool:
        from filelock import lock_descriptor  # here, so that a refused study file does not pay for it

        file = self.path.open("ab")
        try:
            # a file that was moved or removed while we waited guards nothing any more
            held = lock_descriptor(file.fileno(), blocking=False) and self._names(file)
        except BaseException:
            file.close()
            raise
        if held:
            self._file = file
        else:
            file.close()
        return held

    def _names(self, file: IO[bytes]) -> bool:
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(file.fileno()), self.path.stat())
        return False


def is_locked(path: Path) -> bool:
    """Tell whether some process holds a lock, also one in a folder that may only be read.

    A free lock is held for the microseconds of the attempt. Whoever must not fail because of that passes
    `KernelLock.try_acquire` some patience.
    """
    from filelock import lock_descriptor

    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError):
        return False
    deadline = time.monotonic() + _PROBE_PATIENCE
    with file:
        while not lock_descriptor(file.fileno(), blocking=False):
            if time.monotonic() >= deadline:
                return True
            time.sleep(_POLL)
    return False
