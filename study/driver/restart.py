"""Replaces a driver whose Ray has died by a new one that resumes the study."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import NoReturn

from trainables.core.storage_path import StoragePath

_DEATHS = "STUDY_RAY_DEATHS"
"""Environment variable of a driver that was started again: deaths of Ray in a row, and ended trials at the last."""

_MOST = 3


@dataclass(frozen=True)
class Again:
    """Resumes a study in place of this process, at most three times in a row without an ended trial between them."""

    name: str
    storage: StoragePath

    def allowed(self, ended: int) -> bool:
        """Return whether the study may start again; ``ended`` is its number of ended trials."""
        return self._deaths(ended) < _MOST

    def replace_process(self, ended: int) -> NoReturn:
        """Become ``study resume``; the process keeps its number, its terminal and its environment."""
        os.environ[_DEATHS] = f"{self._deaths(ended) + 1} {ended}"
        words = ["resume", self.name, "--storage", str(self.storage)]
        os.execv(sys.executable, [sys.executable, "-m", "study.cli.app", *words])

    @staticmethod
    def _deaths(ended: int) -> int:
        """Return how often Ray has died in a row since the last trial ended."""
        deaths, _, at = os.environ.get(_DEATHS, "0 0").partition(" ")
        return int(deaths) if ended == int(at) else 0
