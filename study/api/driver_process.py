"""The command that trains a study, in a process of its own, with its output shown line by line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import warnings
from collections import deque
from collections.abc import Sequence

from study.driver.exit_codes import ExitCode
from trainables.core.errors import BadInput

_KEPT_LINES = 20
_COLOURS = ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE")


def drive(words: Sequence[str], *, quiet: bool) -> None:
    """Run a command of ``study`` that trains, until it ends.

    The driver installs signal handlers, starts Ray and may start itself again, which a process of its own can do
    without touching the caller's. An interrupt is passed on once: the driver then stops cleanly.

    Args:
        words: of the command, from its name on.
        quiet: keep its output from being printed.

    Raises:
        BadInput: the command refused its input.
        RuntimeError: the command died.
        KeyboardInterrupt: the caller was interrupted; everything finished is stored.
    """
    # a notebook's kernel asks programs for colours and live tables, which its cells cannot show
    environment = {name: value for name, value in os.environ.items() if name not in _COLOURS}
    command = [sys.executable, "-m", "study.cli.app", *words]
    process = subprocess.Popen(
        command,
        env={**environment, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # a terminal's interrupt reaches this process alone, which passes it on
    )
    interrupted, last = False, deque[str](maxlen=_KEPT_LINES)
    assert process.stdout is not None
    try:
        while True:
            try:
                for line in process.stdout:
                    last.append(line)
                    if not quiet:
                        print(line, end="", flush=True)
                code = process.wait()
                break
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)  # a second one stops the driver at once
                interrupted = True
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        process.stdout.close()
    _judge(code, "".join(last).strip(), interrupted=interrupted)


def _judge(code: int, said: str, *, interrupted: bool) -> None:
    if interrupted:
        raise KeyboardInterrupt
    error = re.split(r"^error: ", said, flags=re.MULTILINE)[1:]
    if code == ExitCode.BAD_INPUT:
        raise BadInput(error[-1] if error else said)
    if code < 0:
        raise RuntimeError(f"the study's driver was ended by signal {-code}; resume() continues the study\n{said}")
    if code and (error or code not in (ExitCode.SOME_FAILED, ExitCode.INTERRUPTED)):
        raise RuntimeError(error[-1] if error else said)
    if code:
        outcome = [line for line in said.splitlines() if not line.startswith("Compare the runs")]
        warnings.warn("".join(outcome[-1:]), stacklevel=4)
