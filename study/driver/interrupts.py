"""Signals while a study runs: the first stops it cleanly and says so at once, the second stops it now."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from study.driver.last_signals import leave_terminal, study_is_over

_STOPPING = (
    "{cause}: stopping the running trials; finished epochs are stored, and `{resume}` continues. {again} stops at once."
)
_AT_ONCE = "{cause}: stopping at once; `{resume}` continues from the last checkpoints"

_NOT_RECORDED = "{cause}: not waiting for the records in MLflow; `{record}` completes them"

_CAUSES = {
    signal.SIGINT: ("interrupted", "Ctrl-C again"),
    signal.SIGTERM: ("asked to end (SIGTERM)", "A second signal"),
    signal.SIGHUP: ("the terminal is gone (SIGHUP)", "A second signal"),
    signal.SIGUSR1: ("asked to stop in time (SIGUSR1)", "A second signal"),
}
"""Signal -> what is said of it. Batch systems send SIGUSR1 or SIGTERM before a job's time is over."""


class Interrupts:
    """Handles the signals that end a program, from before Ray's start to its end.

    All of them act like Ctrl-C. Tune ends its loop at the first SIGINT, but only after the step it is in, and says
    nothing. A signal before or after Tune's loop, and the second one in it, raise KeyboardInterrupt.

    Attributes:
        asked: True once a signal has come and was answered, or `came` has found it.
    """

    def __init__(self, command: Callable[[str], str], say: Callable[[str], None]) -> None:
        """Print messages with ``say``; they name commands, which `StudyFolder.command` returns."""
        self._command, self._tell = command, say
        self.asked = False
        self._before: dict[int, Any] = {}
        self._tune: Any = None
        self._at_once = _AT_ONCE
        self._terminals: list[int] = []
        self._noted: int | None = None

    def __enter__(self) -> Interrupts:
        """Take over the signals; without effect outside the main thread, which gets no signals."""
        if threading.current_thread() is threading.main_thread():
            # a program that was started by nohup ignores SIGHUP, and goes on doing so
            ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            self._before = {n: signal.getsignal(n) for n in _CAUSES if not (n is signal.SIGHUP and ignored)}
            self._terminals = [number for number in (1, 2) if os.isatty(number)]
            self.install()
            self._note()
        return self

    def _note(self) -> None:
        """Have the interpreter write each signal to a pipe at once: a handler waits for the main thread."""
        read, write = os.pipe()
        for end in (read, write):
            os.set_blocking(end, False)
        other = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        if other != -1:  # an event loop of this program needs it
            signal.set_wakeup_fd(other, warn_on_full_buffer=False)
            os.close(read)
            os.close(write)
            return
        self._noted, self._notes = read, write

    def came(self) -> bool:
        """Return whether a signal has come, also one whose handler waits until a call into Ray returns."""
        if self._noted is not None and not self.asked:
            with suppress(OSError):  # nothing is there
                self.asked = any(number in _CAUSES for number in os.read(self._noted, 4096))
        return self.asked

    def install(self) -> None:
        """Install the handlers, also in place of those that Ray has installed since."""
        for number in self._before:
            signal.signal(number, self._stop_at_once)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back, to the command's own handlers where it has some."""
        if self._noted is not None:
            signal.set_wakeup_fd(-1)
            self.came()
            read, self._noted = self._noted, None
            os.close(read)
            os.close(self._notes)
        if self._before and study_is_over():
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def recording(self) -> None:
        """No trial runs any more, only the recorder: a signal ends the wait for it, and says so."""
        self._at_once = _NOT_RECORDED
        self.install()

    def before_step(self) -> None:
        """Put the message before Tune's own handler, which Tune installs when its loop begins."""
        if not self._before or self._tune is not None:
            return
        found = signal.getsignal(signal.SIGINT)
        if callable(found) and found != self._stop_at_once:
            self._tune = found
            for number in self._before:
                signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._say(_STOPPING, number)
        self._tune(number, frame)  # ends the loop
        self.install()

    def _stop_at_once(self, number: int, frame: FrameType | None) -> None:
        self._say(self._at_once, number)
        raise KeyboardInterrupt

    def _say(self, message: str, number: int) -> None:
        self.asked = True
        cause, again = _CAUSES[signal.Signals(number)]
        if number == signal.SIGHUP:
            leave_terminal(self._terminals)
        resume, record = self._command("resume"), self._command("record")
        text = message.format(resume=resume, record=record, cause=cause, again=again)
        try:
            self._tell(text)
        except RuntimeError:  # the signal came while the same stream was being written
            os.write(2, f"{text}\n".encode())
