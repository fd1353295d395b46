"""Exit codes of the command ``study``; imports nothing heavy, since the command needs them from its first moment."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit code of a command that trains or follows a training."""

    DONE = 0
    SOME_FAILED = 1
    BAD_INPUT = 2
    INTERRUPTED = 130
