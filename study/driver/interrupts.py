"""Ctrl-C while a study runs: says at once what happens; a second one stops harder. Batch systems send other signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_STOPPING = (
    "interrupted: stopping the running trials; finished epochs are stored, and `study resume {name}` continues. "
    "Ctrl-C again stops at once."
)
_AT_ONCE = "interrupted: stopping at once; `study resume {name}` continues from the last checkpoints"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
"""Signals by which service managers and batch systems ask a program to stop; Slurm warns with SIGUSR1."""


@contextmanager
def stop_signals() -> Iterator[None]:
    """Treat SIGTERM and SIGUSR1 as Ctrl-C; without effect outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    _interrupt_at_stop_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _interrupt_at_stop_signals() -> None:
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))


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

    def ray_started(self) -> None:
        """Take SIGTERM back: Ray aborts its driver on it."""
        if self._armed:
            _interrupt_at_stop_signals()

    def before_step(self) -> None:
        """Put the message before Tune's own handler, which Tune installs when its loop begins."""
        if not self._armed or self._tune is not None:
            return
        found = signal.getsignal(signal.SIGINT)
        if callable(found) and found != self._stop_at_once:
            self._tune = found
            signal.signal(signal.SIGINT, self._stop)
            _interrupt_at_stop_signals()  # Tune ends at SIGUSR1 too, but says nothing

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
