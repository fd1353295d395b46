"""Waits for the lock of a driver that ran the study before: its node may have died a moment ago."""

from __future__ import annotations

import time
from collections.abc import Callable

from study.driver.log_lines import WAITING
from study.store.study_folder import StudyFolder

_LOCK_PATIENCE = 180.0
"""Seconds until a file server has released the lock of a driver whose node died."""
_POLL = 1.0


def wait_for_lock(folder: StudyFolder, say: Callable[[str], object] = lambda said: None) -> None:
    """Wait until no process drives a study, for as long as a file server may keep the lock of a dead one.

    Args:
        folder: the study's folder.
        say: receives a sentence if there is something to wait for.
    """
    if not folder.is_driven():
        return
    say(f"{WAITING}{_LOCK_PATIENCE:.0f} s for the lock of another driver")
    end = time.monotonic() + _LOCK_PATIENCE
    while folder.is_driven() and time.monotonic() < end:
        time.sleep(_POLL)
