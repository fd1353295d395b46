"""Ctrl-C while a study runs: says at once what happens; a second one stops harder."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

_STOPPING = (
    "interrupted: stopping the running trials; finished epochs are stored, and `study resume {name}` continues. "
    "Ctrl-C again stops at once."
)
_AT_ONCE = "interrupted: stopping at once; `study resume {name}` continues from the last checkpoints"


class Interrupts:
    """Handles SIGINT from the start of Ray to its end.

    Tune ends its loop at the first SIGINT, but only after the step it is in, and says nothing. A SIGINT before or after
    Tune's loop, and the second one in it, raise KeyboardInterrupt.
    """

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        """Name the study in messages and print them with ``say``."""
        self._name, self._tell = name, say
        self._before: Any = None
        self._tune: Any = None
        self._armed = False

    def __enter__(self) -> Interrupts:
        """Take over SIGINT; without effect outside the main thread, which gets no signals."""
        self._armed = threading.current_thread() is threading.main_thread()
        if self._armed:
            self._before = signal.signal(signal.SIGINT, self._stop_at_once)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give SIGINT back."""
        if self._armed:
            signal.signal(signal.SIGINT, self._before)

    def before_step(self) -> None:
        """Put the message before Tune's own handler, which Tune installs when its loop begins."""
        if not self._armed or self._tune is not None:
            return
        found = signal.getsignal(signal.SIGINT)
        if callable(found) and found != self._stop_at_once:
            self._tune = found
            signal.signal(signal.SIGINT, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._say(_STOPPING)
        self._tune(number, frame)  # ends the loop, and installs the handler that was there before Tune's: ours
        signal.signal(signal.SIGINT, self._stop_at_once)

    def _stop_at_once(self, number: int, frame: FrameType | None) -> None:
        self._say(_AT_ONCE)
        raise KeyboardInterrupt

    def _say(self, message: str) -> None:
        text = message.format(name=self._name)
        try:
            self._tell(text)
        except RuntimeError:  # the signal came while the same stream was being written
            os.write(2, f"{text}\n".encode())
