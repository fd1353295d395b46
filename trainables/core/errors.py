"""The exception for invalid user input, and the words of messages: values, reasons, numbers, unknown names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from trainables.core.url_secrets import masked


class BadInput(ValueError):
    """Invalid user input: configuration, files or data; the message names the value and what is allowed.

    The command prints the message without a traceback and exits with code 2. Raise it only where input is read;
    components raise ``ValueError`` for arguments out of range. Passwords in URLs are masked in the message.
    """

    def __init__(self, message: str) -> None:
        """Mask passwords."""
        super().__init__(masked(message))


def shown(value: object, longest: int = 100) -> str:
    r"""Return a value as an error shows it: on one line, shortened, characters that do not print escaped.

    >>> shown("a" * 200, 8), shown("clear\x1b[2J")
    ('aaaaaaaa... (200 characters)', 'clear\\x1b[2J')
    """
    text = masked(str(value))
    start = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:longest])
    return start if len(text) <= longest else f"{start}... ({len(text):,} characters)"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "trial"), counted(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def reason_of(error: Exception) -> str:
    """Return what an error says; of an error of the system without its number.

    >>> reason_of(OSError(28, "No space left on device")), reason_of(ValueError("no"))
    ('No space left on device', 'no')
    """
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class UnknownKeys(BadInput):
    """Keys that a mapping of the configuration does not have.

    Attributes:
        keys: key -> its message.
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Join the messages to one."""
        super().__init__("; ".join(keys.values()))
        self.keys = dict(keys)


def unknown_name(
    kind: str, name: str, allowed: Iterable[str], also_called: Mapping[str, str] | None = None
) -> BadInput:
    """Build the error for an unknown name, with the nearest allowed name.

    Case, spaces and underscores do not count for the nearest name.

    Args:
        kind: kind of name, for example ``"method"``.
        name: the unknown name.
        allowed: all allowed names.
        also_called: other names that people use, such as titles -> the allowed name.

    Returns:
        The exception, for the caller to raise.

    >>> str(unknown_name("method", "focl", ["erm", "focal"]))
    "unknown method 'focl'; did you mean 'focal'? Allowed: erm, focal"
    >>> str(unknown_name("method", "complement entropy", ["erm", "cce"], {"Complement cross entropy": "cce"}))
    "unknown method 'complement entropy'; did you mean 'cce'? Allowed: cce, erm"
    >>> str(unknown_name("method", "svm", ["erm", "focal"]))
    "unknown method 'svm'. Allowed: erm, focal"
    >>> str(unknown_name("method", "ERM", ["erm", "focal"]))
    "unknown method 'ERM'; did you mean 'erm'? Allowed: erm, focal"
    """
    name, names = shown(name), sorted(allowed)
    plain: dict[str, str] = {}
    for other in names:
        plain.setdefault(_plain(other), other)
    known = {**{_plain(other): meant for other, meant in (also_called or {}).items()}, **plain}
    near = get_close_matches(_plain(name), known, n=1, cutoff=0.5)
    meant = known[near[0]] if near else None
    hint = f"; did you mean '{meant}'?" if meant else "."
    return BadInput(f"unknown {kind} '{name}'{hint} Allowed: {', '.join(names) or 'none'}")


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "-").replace(" ", "-")
