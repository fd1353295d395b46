"""The one exception for what a user gave wrongly, and its most common message."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(ValueError):
    """Something the user gave cannot be used; the message names it and what is allowed.

    The command prints the message alone, without a traceback, and exits with code 2.
    """


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> BadInput:
    """Build the error for a name that no table holds, with the nearest name that one does.

    Args:
        kind: what was named, for example ``"method"``.
        name: what the user wrote.
        allowed: every name that would have been accepted.

    Returns:
        The exception, to be raised by the caller.

    >>> str(unknown_name("method", "focl", ["erm", "focal"]))
    "unknown method 'focl'; did you mean 'focal'? Allowed: erm, focal"
    >>> str(unknown_name("method", "svm", ["erm", "focal"]))
    "unknown method 'svm'. Allowed: erm, focal"
    """
    names = sorted(allowed)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return BadInput(f"unknown {kind} '{name}'{hint} Allowed: {', '.join(names) or 'none'}")
