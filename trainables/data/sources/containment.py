"""Files of a data set stay in its folder: names and links that lead out of it are refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class Containment:
    """Checks the files of one data set.

    The data set's folder and what lies directly in it may be links, wherever they lead: whole data sets and their
    splits are often linked into place. Deeper links must lead to a place inside the folder, or inside what those first
    links lead to.
    """

    def __init__(self, folder: Path) -> None:
        """Look for links directly in the data set's folder.

        Raises:
            OSError: the folder cannot be read.
        """
        self._folder = str(folder)
        self._bases = [os.path.realpath(folder)]
        with os.scandir(folder) as entries:
            self._bases += [os.path.realpath(entry.path) for entry in entries if entry.is_symlink()]
        self._checked: set[str] = set()
        """Folders that lead to a place inside."""

    def status(self, path: str) -> os.stat_result:
        """Return the status of a regular file of the data set; follows links that stay inside.

        Raises:
            OSError: there is no such file, it lies outside, or it is no regular file (a named pipe, a device).
        """
        if "\0" in path:
            raise OSError(0, "a name must not hold a NUL byte")
        parent = os.path.dirname(path)
        if parent not in self._checked:
            self._refuse_outside(parent)
            self._checked.add(parent)
        found = os.lstat(path)
        if stat.S_ISLNK(found.st_mode):
            if parent != self._folder:
                self._refuse_outside(path)
            found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is not a regular file")
        return found

    def _refuse_outside(self, path: str) -> None:
        real = os.path.realpath(path)
        if not any(real == base or real.startswith(base.rstrip(os.sep) + os.sep) for base in self._bases):
            raise OSError(0, f"it leads out of the data set's folder, to {real}")
