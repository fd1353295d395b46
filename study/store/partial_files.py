"""Removes scratch files that killed processes left half written."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

from trainables.core.storage_path import StoragePath

_SCRATCH = re.compile(r"\..+\.[0-9a-f]{32}")
"""Name that `write_atomically` gives a file until it is complete."""

_AN_HOUR = 3600.0


def remove_partial_files(study: StoragePath, *, age: float = _AN_HOUR) -> int:
    """Remove the scratch files of killed writers from a study's folder and its trials' folders.

    Only the driver may call it. Younger files stay: a worker may outlive its driver and still be writing.

    Args:
        study: the study's folder.
        age: minimum seconds since the last write.

    Returns:
        The number of files removed.
    """
    if not isinstance(study, Path):
        return 0  # an object is put as a whole
    before, removed = time.time() - age, 0
    places = [(str(study), (), [entry.name for entry in os.scandir(study)]), *os.walk(study / "cells")]
    for folder, _, files in places:
        for name in filter(_SCRATCH.fullmatch, files):
            path = Path(folder, name)
            with suppress(OSError):  # a disk that is not writable is reported by the code that must write
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
    return removed
