"""Bounds how long an answer of a storage or a database is waited for, whatever it is that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
_POLL = 0.5
FAREWELL = 5.0
"""Seconds that each last act of a study gets that was told to stop or has lost Ray; a resume does the rest."""


def within(seconds: float, act: Callable[[], Result], *, counting: Callable[[], bool] = lambda: True) -> Result:
    """Return what ``act`` returns, or raise what it raises, if it ends in time.

    A call into a service that stands still cannot be ended. It goes on in a thread that does not keep the process.

    Args:
        seconds: how long it gets.
        act: what is asked.
        counting: the seconds begin once this is true; asked twice a second.

    Raises:
        TimeoutError: it has not ended.
    """
    found: list[Result] = []
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            found.append(act())
        except BaseException as error:  # raised again in the thread that waits
            failed.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    while asking.is_alive() and not counting():
        asking.join(_POLL)
    asking.join(seconds)
    if failed:
        raise failed[0]
    if not found:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return found[0]
