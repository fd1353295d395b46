"""Bundles the files of ended trials in a background thread, and deletes the checkpoints that nothing needs any more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

from study.ledger.cell_ledger import Assignment
from study.ledger.study_ledger import Ledger
from trainables.core.storage_path import StoragePath, files_below
from trainables.core.trial_folder import TrialFolder, is_unpacked
from trainables.training.checkpoints import remove_checkpoints


class _Job(NamedTuple):
    """A trial's key, and whether its last checkpoint stays."""

    key: str
    keep: bool


class TrialPacker:
    """Packs every trial soon after its end; whoever reads it finds the same content before and after.

    A trial that a killed driver left unpacked is packed by the next one. No error here stops a study: the files then
    stay as they are.
    """

    def __init__(self, cells: StoragePath, ledger: Ledger, *, warn: Callable[[str], None], leftovers: bool) -> None:
        """Start the thread.

        Args:
            cells: the folder of the study's trials.
            ledger: the study's ledger, which tells what has ended and won.
            warn: receives a sentence about the first error, from another thread.
            leftovers: pack what an earlier driver left. A study of an earlier format keeps its files.
        """
        self._cells, self._ledger, self._warn = cells, ledger, warn
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._failed = False
        before = [self._job(assignment) for assignment in ledger.ended()] if leftovers else []
        self._thread = threading.Thread(target=self._work, args=(before,), name="packer", daemon=True)
        self._thread.start()

    def touch(self, assignment: Assignment, ended: bool) -> None:
        """Schedule a trial that has ended; returns at once."""
        if ended:
            self._jobs.put(self._job(assignment))

    def close(self, timeout: float = 60.0) -> None:
        """Pack what is scheduled and stop; the next driver packs what takes longer."""
        self._jobs.put(None)
        self._thread.join(timeout)

    def _job(self, assignment: Assignment) -> _Job:
        kept = self._ledger.study.artifacts.checkpoints
        wanted = {"all": True, "confirm": assignment.confirms, "none": False}
        keep = wanted[kept] if kept in wanted else self._ledger.confirmation.is_winner(assignment)
        return _Job(assignment.key, keep)

    def _work(self, before: list[_Job]) -> None:
        try:
            self._pack_all(self._unpacked(before))
        except OSError as error:
            self._give_up(error)
        while (job := self._jobs.get()) is not None:
            self._pack_all([job])

    def _unpacked(self, ended: list[_Job]) -> list[_Job]:
        if not ended:
            return []
        names: dict[str, list[str]] = {}
        for file in files_below(self._cells):
            names.setdefault(file.folder, []).append(file.name)
        return [job for job in ended if is_unpacked(names.get(job.key, ()))]

    def _pack_all(self, jobs: Iterable[_Job]) -> None:
        for key, keep in jobs:
            folder = self._cells / key
            try:
                # first: a packed trial is one that needs nothing any more
                remove_checkpoints(folder, kept=1 if keep else 0)
                TrialFolder(folder).pack()
            except FileNotFoundError:  # it ended before its process wrote anything
                continue
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if not self._failed:
            self._warn(f"files of ended trials are not bundled: {error.strerror or error}; a resume does it")
        self._failed = True
