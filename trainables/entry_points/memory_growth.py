"""The growth of a process that trains one trial after another, and its replacement."""

from __future__ import annotations

import psutil


class WorkerReplaced(RuntimeError):
    """Ends a process between two trials; the next trial starts in a new one, and this counts as no failure of it."""


class MemoryGrowth:
    """Memory of this process against that after its first trial, which loads data, libraries and the device."""

    def __init__(self) -> None:
        """Measure nothing yet."""
        self._first: int | None = None

    def since_first(self) -> int:
        """Return the growth of the resident memory in bytes since this was first called; 0 then."""
        now = int(psutil.Process().memory_info().rss)
        if self._first is None:
            self._first = now
        return now - self._first
