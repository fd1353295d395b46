"""Reads a small file that holds a secret: a file that never ends, or a pipe that nobody writes to, is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path

LARGEST_BYTES = 64 * 1024


def read_secret_file(path: Path) -> str:
    """Return the text of a file, without blanks and line breaks around it.

    Raises:
        OSError: the file cannot be opened or read.
        ValueError: it is no regular file, larger than 64 KiB, or not UTF-8; the message shows nothing of its content.
    """
    # a pipe without a writer would be waited for; it is opened without waiting, and then told from a file
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("must be a regular file, not a folder, a pipe or a device")
        content = file.read(LARGEST_BYTES + 1)
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"must hold at most {LARGEST_BYTES // 1024} KiB")
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError("must be text in UTF-8") from None
