"""A small file in the trial's folder that says what the trial does between two ends of epochs.

Until the process ends an epoch these are the steps done of it, after the last epoch the artifacts that it makes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath, write_atomically

OnStep = Callable[[int, int, int, int], None]
"""Called after every training step with plain numbers of the host: the epoch in training (1-based), the steps done of
it, its steps in all, and the images done of it."""

WRITTEN_EVERY = 5.0
"""Minimum seconds between two writes; a shorter epoch writes nothing."""

_FILE = "progress.json"


class StepProgress(NamedTuple):
    """Progress inside an epoch, or the work after the last epoch.

    Attributes:
        epoch: number of the epoch in training, from 1.
        step: steps done of it.
        steps: its steps in all.
        images_per_second: images per second since the end of its first step, which may compile; None until then.
        doing: what the process does after the last epoch, in words; empty while it trains.
    """

    epoch: int
    step: int
    steps: int
    images_per_second: float | None = None
    doing: str = ""

    def __str__(self) -> str:
        """Describe it as a part of a progress line.

        >>> print(StepProgress(1, 120, 390, 5400.4))
        first epoch: step 120 of 390, 5,400 images/s
        """
        if self.doing:
            return self.doing
        named = "first epoch" if self.epoch == 1 else f"epoch {self.epoch}"
        speed = "" if self.images_per_second is None else f", {self.images_per_second:,.0f} images/s"
        return f"{named}: step {self.step:,} of {self.steps:,}{speed}"


class StepProgressFile:
    """Writes the progress of one epoch into a trial's folder, and what follows the last epoch; an `OnStep`.

    It only looks at the clock in most steps, never at the device. A file that cannot be written is no error. On object
    storage there is none: a request would take longer than a step, and much longer if the storage is away.
    """

    def __init__(self, folder: StoragePath) -> None:
        """Begin without a file: one that a killed process left is removed."""
        self._folder = folder
        self._due = self._began = math.inf
        self._images_before = 0
        self._past_first = self._written = False
        remove_step_progress(folder)

    def __call__(self, epoch: int, step: int, steps: int, images: int) -> None:
        """Write the progress if a write is due, and the first epoch has not ended."""
        if self._past_first:
            return
        now = time.monotonic()
        if self._began == math.inf:
            self._began, self._images_before, self._due = now, images, now + WRITTEN_EVERY
        if now < self._due:
            return
        self._due = now + WRITTEN_EVERY
        done = images - self._images_before
        speed = round(done / (now - self._began), 1) if done and now > self._began else None
        self._write(StepProgress(epoch, step, steps, speed))

    def say(self, epoch: int, doing: str) -> None:
        """Write what the process does after its last epoch: minutes may pass without a step."""
        self._write(StepProgress(epoch, 1, 1, doing=doing))

    def _write(self, progress: StepProgress) -> None:
        if not isinstance(self._folder, ObjectPath):
            self._written = True
            with suppress(OSError):
                write_atomically(self._folder / _FILE, json.dumps(progress._asdict()).encode(), durable=False)

    def end_epoch(self) -> None:
        """Remove the file. Further epochs write no steps: their ends show that the training goes on."""
        self._past_first = True
        if self._written:
            remove_step_progress(self._folder)
            self._written = False


def read_step_progress(folder: StoragePath) -> StepProgress | None:
    """Return what a trial's process wrote last, or None. Only the caller can know whether that process still lives."""
    if isinstance(folder, ObjectPath):
        return None
    try:
        stored = json.loads((folder / _FILE).read_bytes())
        speed = stored["images_per_second"]
        epoch, step, steps = (int(stored[name]) for name in ("epoch", "step", "steps"))
        doing = str(stored.get("doing", ""))  # a worker with earlier code writes none
        return StepProgress(epoch, step, steps, None if speed is None else float(speed), doing)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def remove_step_progress(folder: StoragePath) -> None:
    """Remove the file of a process that ended."""
    if isinstance(folder, ObjectPath):
        return
    with suppress(OSError):
        (folder / _FILE).unlink(missing_ok=True)


def foremost(found: list[StepProgress]) -> StepProgress | None:
    """Return the progress of the epoch that ends next, or None."""
    return max(found, key=lambda one: one.step / max(1, one.steps), default=None)
