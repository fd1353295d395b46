"""Ends a process whose training stands still, so that its trial can go on in another one."""

from __future__ import annotations

import faulthandler
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable

EXIT_CODE = 75
_LONGEST_SLEEP = 30.0
_SECONDS_TO_SAY = 10.0


class HangWatch:
    """A thread that ends the process if no training step ends for a stated time.

    A deadlock, a device that no longer answers or a network folder that never does leaves a trial without a report and
    without an error. The stacks of all threads are told first. If a thread never gives up the interpreter's lock,
    faulthandler's timer, which needs no lock, writes them to standard error and ends the process.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        """Start idle; ``say`` receives the reason and the stacks, in a thread of its own, for at most ten seconds."""
        self._say = say
        self._limit = self._alive = math.inf
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def begin(self, seconds: float | None) -> None:
        """Watch from now on; None watches nothing."""
        if seconds is None:
            return
        with self._changed:
            self._limit, self._alive = seconds, time.monotonic()
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="hang-watch", daemon=True)
            self._thread.start()

    def step(self) -> None:
        """Note a sign of life; costs a look at the clock."""
        self._alive = time.monotonic()

    def end(self) -> None:
        """Stop watching until the next `begin`: the process waits for its driver."""
        with self._changed:
            self._limit = math.inf
            faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        while True:
            with self._changed:
                if self._limit == math.inf:
                    self._changed.wait()
                    continue
                rest = self._limit - (time.monotonic() - self._alive)
                if rest > 0:
                    pause = min(_LONGEST_SLEEP, rest)
                    faulthandler.dump_traceback_later(pause + self._limit + _SECONDS_TO_SAY, exit=True, file=sys.stderr)
                    self._changed.wait(pause)
                    continue
            self._give_up()

    def _give_up(self) -> None:
        with tempfile.TemporaryFile("w+") as stacks:
            faulthandler.dump_traceback(stacks, all_threads=True)
            stacks.seek(0)
            # the sentence stands last, where a traceback has its error
            said = f"{stacks.read()}\nno training step ended within {self._limit:g} s; above, where the threads stood"
        teller = threading.Thread(target=self._say, args=(said,), daemon=True)  # the storage may be what hangs
        teller.start()
        teller.join(_SECONDS_TO_SAY)
        os._exit(EXIT_CODE)
