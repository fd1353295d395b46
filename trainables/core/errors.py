"""The exception for invalid user input, and its message for unknown names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BadInput(ValueError):
    """Invalid user input: configuration, files or data; the message names the value and what is allowed.

    The command prints the message without a traceback and exits with code 2. Raise it only where input is read;
    components raise ``ValueError`` for arguments out of range.
    """


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> BadInput:
    """Build the error for an unknown name, with the nearest allowed name.

    Args:
        kind: kind of name, for example ``"method"``.
        name: the unknown name.
        allowed: all allowed names.

    Returns:
        The exception, for the caller to raise.

    >>> str(unknown_name("method", "focl", ["erm", "focal"]))
    "unknown method 'focl'; did you mean 'focal'? Allowed: erm, focal"
    >>> str(unknown_name("method", "svm", ["erm", "focal"]))
    "unknown method 'svm'. Allowed: erm, focal"
    """
    names = sorted(allowed)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return BadInput(f"unknown {kind} '{name}'{hint} Allowed: {', '.join(names) or 'none'}")
