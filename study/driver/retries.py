"""Decides whether a trial whose process died starts again."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MACHINE_GONE = re.compile(r"its node has died|node was preempted|forcibly preempted")
"""Words of Ray's errors for an actor that died with its machine."""
_REPLACED = re.compile(r"\bWorkerReplaced\b")
"""Word of the error of a worker that refuses a trial, so that the trial starts in a new one."""
_MOST_MACHINES = 20


@dataclass
class Retries:
    """The deaths of one trial.

    A death after a new epoch does not count, nor does one that took the whole machine: a spot machine may be taken
    away many times before a healthy trial ends. Twenty lost machines without a new epoch between them are too many.

    Attributes:
        most: deaths in a row that are forgiven.
        epochs: epochs of the trial's training.
    """

    most: int
    epochs: int
    _deaths: int = 0
    _machines: int = 0
    _reached: int = 0
    _shared: int = 0
    _advanced: bool = False

    def start_from(self, epoch: int) -> None:
        """Note the last stored epoch, which is none that this driver has seen trained."""
        self._reached = max(self._reached, epoch)

    def note_epoch(self, epoch: int) -> None:
        """Note an epoch of the trial; a repeated one is no progress."""
        self._advanced |= epoch > self._reached
        self._reached = max(self._reached, epoch)

    def note_shared_epochs(self, count: int) -> None:
        """Note epochs of shared trainings. A trial needs two at most, so more epochs than theirs are repeated ones."""
        self._shared += count
        self._advanced |= self._shared <= 2 * self.epochs

    def allows_another(self, reason: str) -> bool:
        """Count a death, and return whether the trial may start again; ``reason`` is what the runner says of it."""
        if _REPLACED.search(reason):
            return True
        if self._advanced:
            self._advanced, self._deaths, self._machines = False, 0, 0
        elif _MACHINE_GONE.search(reason) and self._machines < _MOST_MACHINES:
            self._machines += 1
        else:
            self._deaths += 1
        return self._deaths <= self.most
