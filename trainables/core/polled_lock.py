"""An exclusive lock that is asked for again and again until it is free; where it is held, a subclass decides."""

from __future__ import annotations

import os
import socket
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Self


def own_name() -> str:
    """Return how a lock names this process: its id and its machine."""
    return f"process {os.getpid()} on {socket.gethostname()}"


class PolledLock(ABC):
    """One holder's claim to a lock. Not reentrant between objects: each is a holder of its own.

    Every method that takes the lock raises ``OSError`` if the place that holds it cannot be used.
    """

    poll: ClassVar[float]
    """Seconds between two attempts at a lock that another holds."""

    @property
    @abstractmethod
    def held(self) -> bool:
        """True if this object took the lock and did not release it."""

    @abstractmethod
    def still_held(self) -> bool:
        """Return whether this object holds the lock, also if its place may have freed it meanwhile."""

    @abstractmethod
    def sign(self) -> None:
        """Leave this process's name with the lock that it holds, for `holder`; an error is no reason to stop."""

    @abstractmethod
    def holder(self) -> str | None:
        """Return the name that the lock's holder has left; None if it left none."""

    @abstractmethod
    def release(self) -> None:
        """Free the lock; without effect if it is not held."""

    @abstractmethod
    def _attempt(self) -> bool:
        """Take the lock if it is free, and tell whether it was."""

    def acquire(self) -> bool:
        """Wait until the lock is held; return True."""
        while not self.try_acquire():
            time.sleep(self.poll)
        return True

    def try_acquire(self, patience: float = 0.0) -> bool:
        """Take the lock if it is free, and tell whether it is held now.

        Args:
            patience: seconds for which a lock held by another is tried again, >= 0.
        """
        deadline = time.monotonic() + patience
        while not self.held and not self._attempt():
            if time.monotonic() >= deadline:
                return False
            time.sleep(self.poll)
        return True

    def __enter__(self) -> Self:
        """Wait for the lock."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the lock."""
        self.release()
