"""Signals at the end of a command that trains a study: its exit code and its last lines stand, whatever comes then."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from types import FrameType

from study.driver.exit_codes import ExitCode

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class LastSignals:
    """The signal handlers of such a command outside `study.driver.interrupts.Interrupts`, until the process ends.

    Before the study is driven every signal acts like Ctrl-C. After it, when its results are printed, the first one is
    passed over and the second ends the process at once, with the study's exit code.

    Attributes:
        code: the study's exit code, once it is known.
        over: True once the study is not driven any more.
    """

    def __init__(self) -> None:
        """Handle nothing yet."""
        self.code: int = ExitCode.INTERRUPTED
        self.over = False
        self._asked = False
        self._terminals = [number for number in (1, 2) if os.isatty(number)]

    def install(self) -> None:
        """Install the handlers, also in place of those that Ray has installed since."""
        for number in _NUMBERS:
            # a program that was started by nohup ignores SIGHUP, and goes on doing so
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            leave_terminal(self._terminals)
        if not self.over:
            raise KeyboardInterrupt
        if self._asked:
            _leave(self.code)
        self._asked = True


_held: list[LastSignals] = []
"""The handlers of this process's command; empty where studies are driven by other programs, such as tests."""


def hold_signals() -> None:
    """Handle signals from now to the end of this process; only for a command that trains a study, as its first act."""
    if threading.current_thread() is threading.main_thread():
        _held[:] = [LastSignals()]
        _held[0].install()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _NUMBERS)  # a driver that became this one has kept them back


def keep_signals_back() -> None:
    """Keep signals from this thread, until the program that this process becomes calls `hold_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _NUMBERS)


def take_signals_back() -> None:
    """Install the command's handlers again, in place of one that Ray has installed since."""
    for held in _held:
        held.install()


def study_is_over() -> bool:
    """Say that the study is not driven any more; False, and without effect, where `hold_signals` was not called."""
    for held in _held:
        held.over = True
        held.install()
    return bool(_held)


def study_ends_with(code: int) -> None:
    """Say the exit code of the study, with which a second signal ends the process."""
    for held in _held:
        held.code = code


def leave_terminal(numbers: Iterable[int]) -> None:
    """Write to nowhere what would go to a terminal that is gone: every write to it is an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in numbers:
        os.dup2(nowhere, number)
    os.close(nowhere)


def end_process(code: int) -> None:
    """End the process of a command that has trained a study; returns where `hold_signals` was not called.

    Everything is stored and said by then. The end of the interpreter would give the signals back, take seconds for Ray
    and MLflow, and abort if the recorder's thread still draws a picture in a library of its own.
    """
    if _held and _held[0].over:
        _leave(code)


def _leave(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, RuntimeError):  # closed, gone, or being written when a signal came
            stream.flush()
    os._exit(code)
