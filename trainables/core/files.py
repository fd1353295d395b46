"""Reading of files that others name: regular ones only, and their fingerprints by content."""

from __future__ import annotations

import hashlib
import os
import stat
from functools import cache
from pathlib import Path

from trainables.core.errors import BadInput

LARGEST_TEXT = 2**30
"""Bytes of a list of images; that of ImageNet with 14 million lines has 0.6 GB."""


def read_regular(path: Path, most: int | None = None) -> bytes:
    """Return the content of a regular file; never waits for a named pipe, and never reads a device.

    Args:
        path: the file, or a link to it.
        most: bytes after which reading stops; None refuses a file of more than `LARGEST_TEXT`.

    Raises:
        OSError: it cannot be read, is no regular file or is too large.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError:  # a NUL byte
        raise OSError(0, "it cannot be a file's name") from None
    with open(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is not a regular file")
        if most is None and found.st_size > LARGEST_TEXT:
            raise OSError(0, f"it has {found.st_size:,} bytes, more than {LARGEST_TEXT:,}")
        return file.read(most)


def content_of(path: Path) -> str:
    """Return the sha256 of a weights file in hexadecimal, cached until the file's size or time of change differs.

    Raises:
        BadInput: if the file cannot be read.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is not a regular file")
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
