"""Calls to a service that may be away for a while: tried again for a stated time, and said so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from trainables.core.errors import BadInput, shown

Result = TypeVar("Result")

_FIRST_PAUSE, _POLL = 0.2, 0.2


class ServiceAway(BadInput):
    """A service did not answer for the time that it is waited for; what was written before is whole."""


class Patience:
    """Waits for one service, from any thread.

    A first failure is repeated at once and without a word: a connection that broke while nobody used it is no outage.
    """

    def __init__(
        self,
        what: str,
        seconds: float,
        *,
        say: Callable[[str], None] = lambda message: None,
        stopped: Callable[[], bool] = lambda: False,
        silent: float = 0.0,
        longest_pause: float = 5.0,
        final: bool = False,
    ) -> None:
        """Describe the service and how long it is waited for.

        Args:
            what: the service in messages, as in ``the ledger postgresql://host/study``.
            seconds: for which calls are tried again, >= 0.
            say: receives a sentence when an outage begins and when it is over.
            stopped: tells whether the waiting has no purpose any more.
            silent: seconds of an outage of which nothing is said, >= 0.
            longest_pause: seconds between two tries at most, > 0; the pauses double.
            final: after the first outage that was too long, every call fails at once. Otherwise calls are tried once
                until one succeeds.
        """
        self.what, self.seconds, self.say, self.stopped = what, seconds, say, stopped
        self._silent, self._longest_pause, self._final = silent, longest_pause, final
        self._lock = threading.Lock()
        self._waiting, self._said = 0, False
        self.gave_up: str | None = None

    def call(self, act: Callable[[bool], Result], outage: Callable[[Exception], str | None]) -> Result:
        """Call until the service answers.

        Args:
            act: what to do; its argument is True if an earlier try failed, and may have been done without an answer.
            outage: why the service is away, for the error of a call; None for errors that a further try would meet
                again, which are raised.

        Raises:
            ServiceAway: the service did not answer in time.
        """
        if self._final and self.gave_up is not None:
            raise ServiceAway(self.gave_up)
        patience = self.seconds if self.gave_up is None else 0.0
        began, pause, tries = time.monotonic(), 0.0, 0
        try:
            while True:
                try:
                    result = act(tries > 0)
                except Exception as error:
                    why = outage(error)
                    if why is None:
                        raise
                    tries += 1
                    now = time.monotonic()
                    if tries == 1:
                        began = now
                        with self._lock:
                            self._waiting += 1
                    elif now >= began + patience or self.stopped():
                        raise self._give_up(why, now - began) from None
                    elif now - began >= self._silent:
                        self._begin(why)
                    self._sleep(min(pause, max(0.0, began + patience - now)))
                    pause = min(2 * pause or _FIRST_PAUSE, self._longest_pause)
                    continue
                self.gave_up = None
                return result
        finally:
            if tries:
                self._end(time.monotonic() - began)

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.stopped():
            time.sleep(min(left, _POLL))

    def _begin(self, why: str) -> None:
        with self._lock:
            first, self._said = not self._said, True
        if first:
            self.say(f"{self.what} does not answer ({shown(why, 200)}); trying for {duration(self.seconds)}")

    def _end(self, seconds: float) -> None:
        with self._lock:
            self._waiting -= 1
            over = self._said and not self._waiting
            self._said = self._said and not over
        if over and self.gave_up is None:
            self.say(f"{self.what} answers again after {duration(seconds)}")

    def _give_up(self, why: str, seconds: float) -> ServiceAway:
        long = f"has not answered for {duration(seconds)}" if seconds >= 1 else "does not answer"
        self.gave_up = f"{self.what} {long} ({shown(why, 200)})"
        return ServiceAway(self.gave_up)


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(120), duration(90), duration(0.4)
    ('2 min', '90 s', '0 s')
    """
    return f"{round(seconds) // 60} min" if seconds >= 60 and round(seconds) % 60 == 0 else f"{seconds:.0f} s"
