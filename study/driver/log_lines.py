"""How a job and the process that sent it talk: by lines of the job's log, and by an environment variable."""

from __future__ import annotations

STORED_IN = "stored in "
"""Beginning of the line of a job's log that names its storage."""

JOINING = "joining the Ray cluster at "
"""Beginning of the line that a driver prints after its checks, before it joins Ray."""

WAITING = "waiting up to "
"""Beginning of the line of a driver that waits for the lock of another."""

CONTINUED_BY = "STUDY_CONTINUED_BY"
"""Variable in which ``study submit`` gives its job the command that continues the study, for the job's messages."""


def finished(name: str) -> str:
    """Return the beginning of the line that says of a stored study that nothing is left to train, and why."""
    return f"study '{name}' is finished: "
