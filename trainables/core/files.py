"""Fingerprints of files, by content."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from trainables.core.errors import BadInput


def content_of(path: Path) -> str:
    """Return the sha256 of a weights file in hexadecimal, cached until the file's size or time of change differs.

    Raises:
        BadInput: if the file cannot be read.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    return _hashed(path, found.st_mtime_ns, found.st_size)


@cache
def _hashed(path: Path, changed: int, size: int) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> BadInput:
    """Build the error for a weights file that cannot be read."""
    return BadInput(f"weights {path}: cannot be read ({error.strerror or error}); expected a file of a state dict")
