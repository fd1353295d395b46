"""Zip archives read as a whole: bundles of trials, checkpoints and exported networks have a checksum for every file."""

from __future__ import annotations

import io
import zipfile

_COUNT = slice(-12, -10)
"""Bytes of an archive without a comment that say how many files it holds."""


def unpacked(content: bytes) -> dict[str, bytes]:
    """Return the files of an archive: name -> content.

    Raises:
        BadZipFile: it is damaged; says why.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception as error:  # a changed byte can look like another compression, a password, a size
        raise zipfile.BadZipFile(_on_one_line(error)) from None
    # a changed size of its index hides files
    if len(files) < (said := int.from_bytes(content[_COUNT], "little")) < 0xFFFF:
        raise zipfile.BadZipFile(f"{len(files)} of {said} files are left")
    return files


def archive_damage(content: bytes) -> str | None:
    """Return why an archive is damaged, or None if every file in it matches its checksum."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            wrong = archive.testzip()
    except Exception as error:
        return _on_one_line(error)
    return None if wrong is None else f"{wrong} in it does not match its checksum"


def _on_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
