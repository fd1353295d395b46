"""Lines of a driver's log by which another process sees how far it is."""

from __future__ import annotations

STORED_IN = "stored in "
"""Beginning of the line of a job's log that names its storage."""

JOINING = "joining the Ray cluster at "
"""Beginning of the line that a driver prints after its checks, before it joins Ray."""


def finished(name: str) -> str:
    """Return the beginning of the line that says of a stored study that nothing is left to train, and why."""
    return f"study '{name}' is finished: "
