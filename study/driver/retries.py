"""Decides whether a trial whose process died starts again."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainables.core.errors import counted, shown

_MACHINE_GONE = re.compile(r"node has died|node was preempted|forcibly preempted|is temporarily unavailable")
"""Words of Ray's errors for an actor that died with its machine.

Ray takes fifteen seconds and more to declare a machine dead. Until then its actors are "temporarily unavailable": the
connection is gone and no raylet has reported the end of a process, as it does when only the process died.
"""
_REPLACED = re.compile(r"\bWorkerReplaced\b")
"""Word of the error of a worker that refuses a trial, so that the trial starts in a new one."""
_MOST_MACHINES = 20
_STOOD_STILL = re.compile(r"no training step ended within \S+ s")
_PROCESS_GONE = re.compile(r"ActorDiedError|WorkerCrashedError|process died|worker process")


def cause_of(reason: str) -> str:
    """Say in a few words what ended a trial's process; ``reason`` is what the runner says of it.

    >>> cause_of("ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task. ...")
    'its process died'
    """
    if _REPLACED.search(reason):
        return "the memory of its process had grown"
    if stood := _STOOD_STILL.search(reason):
        return stood[0]
    if _MACHINE_GONE.search(reason):
        return "its machine is gone"
    if _PROCESS_GONE.search(reason):
        return "its process died"
    return shown(reason.strip().rpartition("\n")[2], 200)


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
    counted: bool = False
    """True if the last death counted."""

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
        self.counted = False
        if _REPLACED.search(reason):
            return True
        if self._advanced:
            self._advanced, self._deaths, self._machines = False, 0, 0
        elif _MACHINE_GONE.search(reason) and self._machines < _MOST_MACHINES:
            self._machines += 1
        else:
            self._deaths, self.counted = self._deaths + 1, True
        return self._deaths <= self.most


@dataclass
class Restarts:
    """Number of trials of a study that a driver has started again."""

    counted: int = 0
    not_counted: int = 0

    def note(self, *, counted: bool) -> None:
        """Note a trial that starts again after a death that counted, or did not."""
        self.counted += counted
        self.not_counted += not counted

    def __str__(self) -> str:
        times = counted(self.counted + self.not_counted, "time")
        return (
            f"trials started again {times} after an error or the end of their process or machine: "
            f"{self.not_counted} not counted, {self.counted} counted against resources.retries"
        )

    def __bool__(self) -> bool:
        return self.counted + self.not_counted > 0
