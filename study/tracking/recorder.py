"""Sync of a running study in a background thread; an unreachable tracking server never blocks the study."""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from study.spec.confirmed_settings import CONFIRM
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.study_view import CellView, cell_view, trial_view, with_races
from study.tracking.client import import_mlflow, is_away, tracking_uri
from study.tracking.run_index import LocksAway
from study.tracking.study_sync import StudySync
from trainables.core.errors import BadInput
from trainables.core.patience import ServiceAway
from trainables.core.storage_path import StoragePath
from trainables.core.trial_folder import DamagedBundle
from trainables.core.url_secrets import masked

if TYPE_CHECKING:
    from study.ledger.cell_ledger import Assignment
    from study.ledger.study_ledger import Ledger

_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
_LAST_WAIT = 30.0
"""Seconds that the end of the process waits for what is being written."""

Key = tuple[str, int]
"""`Assignment.place` and trial number, or the name of a cell and `_SUMMARY`."""

_SUMMARY = -1


class Recorder:
    """Keeps MLflow a few seconds behind the ledger.

    A running trial is synced every few seconds and once at its end. Failed writes are reported when the study ends;
    ``study record`` retries them. No error here can stop a study.
    """

    def __init__(
        self,
        storage: StoragePath,
        spec: StudySpec,
        ledger: Ledger,
        *,
        warn: Callable[[str], None],
        every: float = 3.0,
        summaries: float = 60.0,
    ) -> None:
        """Start the thread; it first syncs whatever an earlier run left out.

        Args:
            storage: the folder of all studies.
            spec: the study.
            ledger: its ledger, which is only read.
            warn: receives one sentence per problem, from another thread.
            every: least seconds between two syncs of a running trial.
            summaries: least seconds between two syncs of a cell's numbers; its files are written at the end.

        Raises:
            BadInput: the tracking URI is not valid.
        """
        self._uri = tracking_uri(spec.records.tracking_uri, storage)
        self._sync = StudySync(StudyFolder(storage, spec.name), spec)
        self._ledger, self._warn, self._every, self._summaries = ledger, warn, every, summaries
        self._changed = threading.Condition()
        self._due: dict[Key, float] = {
            (name, trial.number): 0.0
            for name, cell in ledger.places.items()
            for trial in cell.trials()
            if trial.datetime_start is not None
        }
        later = time.monotonic() + summaries
        self._due |= {(ledger.places[name].cell.name, _SUMMARY): later for name, _ in self._due}
        self._left: set[Key] = set()
        self._at: Key | None = None
        self._closing, self._left_behind, self._pause, self._quiet_until = False, False, 0.0, 0.0
        self._said_away = False
        self._said: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="records", daemon=True)
        self._thread.start()

    def touch(self, assignment: Assignment, ended: bool) -> None:
        """Schedule a changed trial; returns at once."""
        key = (assignment.place, assignment.number)
        with self._changed:
            soon = time.monotonic() + (0.0 if ended else self._every)
            first = soon < min(self._due.values(), default=math.inf)
            self._due[key] = min(soon, self._due.get(key, soon))
            if ended:
                self._due.setdefault((assignment.cell.name, _SUMMARY), time.monotonic() + self._summaries)
            if first:  # else the thread wakes early enough
                self._changed.notify()

    def close(self, timeout: float = 60.0, *, quiet: bool = False) -> list[str]:
        """Sync what is left and the cells' summaries, and stop. Calling it again does nothing.

        Args:
            timeout: seconds after which the rest is left to ``study record``; an interrupt ends them at once. What is
                being written then is finished, at the end of the process at the latest.
            quiet: say nothing of what is left, since a resume follows at once.

        Returns:
            The trials, as ``cell/number``, that are not up to date in MLflow.
        """
        with self._changed:
            first, self._closing = not self._closing, True
            self._forget_summaries()
            self._changed.notify()
        with suppress(KeyboardInterrupt):  # the caller's user does not want to wait
            self._thread.join(timeout)
        if first and self._thread.is_alive():
            self._left_behind = True
            # a thread that draws in compiled code while Python ends would abort the process
            atexit.register(_finish, self._thread)
        with self._changed:
            keys = {*self._due, *self._left} | ({self._at} if self._at is not None else set())
            keys = {key for key in keys if key[1] != _SUMMARY}
        left = sorted(f"{cell}/{number:05d}" for cell, number in keys)
        if first and not quiet and (left or self._thread.is_alive()):
            trials = "1 trial is" if len(left) == 1 else f"{len(left)} trials are"
            what = trials if left else "the summaries of the cells are"
            self._warn(f"{what} not in MLflow yet; run: {self._sync.folder.command('record')}")
        return left

    def _work(self) -> None:
        while (key := self._next()) is not None:
            if not self._attempt(key) and self._closing:
                return
        if not self._left_behind:
            self._attempt(None)

    def _forget_summaries(self) -> None:
        """Drop the summaries that are due: closing writes all of them."""
        for key in [key for key in self._due if key[1] == _SUMMARY]:
            del self._due[key]

    def _next(self) -> Key | None:
        """Wait for the trial that is due first and return it; None if closing and nothing is left."""
        with self._changed:
            while (self._due or not self._closing) and not self._left_behind:
                key = min(self._due, key=self._due.__getitem__, default=None)
                if key is None:
                    self._changed.wait()
                    continue
                wait = max(self._due[key], self._quiet_until) - time.monotonic()
                if wait <= 0 or self._closing:
                    del self._due[key]
                    self._at = key
                    return key
                self._changed.wait(wait)
            return None

    def _attempt(self, key: Key | None) -> bool:
        """Sync one trial, or without a key the summaries; return False if the store is unreachable."""
        try:
            import_mlflow()
            self._record(key)
        except Exception as error:  # tracking must never stop a study
            self._sync.forget()
            away = is_away(error) or isinstance(error, LocksAway)
            (self._come_back if away else self._give_up)(key, error)
            return not away
        finally:
            self._at = None
        if self._said_away:
            self._warn(f"MLflow ({self._uri}) is back")
            self._said_away = False
        self._pause = 0.0
        if key is not None:
            self._left.discard(key)
        return True

    def _record(self, key: Key | None) -> None:
        if key is None:
            finished = self._ledger.search_remaining() == 0
            for name in self._ledger.cells:
                if self._left_behind:
                    return
                view = self._cell_view(name)
                self._sync.cell(view, finished=finished)
                self._sync.pause(view)
            if finished:  # new views: those above hold the trials' files
                self._sync.responses([self._own_view(name) for name in self._ledger.cells])
        elif key[1] == _SUMMARY:
            self._sync.cell(self._cell_view(key[0]), driven=True, whole=False)
        else:
            ledger = self._ledger.places[key[0]]
            self._sync.trial(trial_view(ledger.cell, ledger.trials()[key[1]], self._sync.folder.path))

    def _cell_view(self, name: str) -> CellView:
        confirm = self._ledger.study.confirm
        if confirm is None or confirm.race is None:
            return self._own_view(name)
        views = tuple(self._own_view(one) for one in self._ledger.cells)  # a race looks at all cells of a table
        return next(view for view in with_races(self._ledger.study, views) if view.cell.name == name)

    def _own_view(self, name: str) -> CellView:
        cell, places = self._ledger.cells[name], self._ledger.places
        confirming = places[f"{name}/{CONFIRM}"].trials() if f"{name}/{CONFIRM}" in places else ()
        metric, path = self._ledger.study.search.metric, self._sync.folder.path
        return cell_view(cell.cell, cell.trials(), metric, path, confirming)

    def _give_up(self, key: Key | None, error: Exception) -> None:
        if key is not None:
            self._left.add(key)
        kind = type(error).__name__
        if kind in self._said or isinstance(error, ServiceAway):  # of the ledger, which its driver speaks of
            return
        self._said.add(kind)
        if isinstance(error, BadInput) and not isinstance(error, DamagedBundle):  # a damaged file affects all trials
            self._warn(f"tracking is off, the study continues: {error}")
            return
        self._warn(f"not written to MLflow: {key or 'summaries'}: {kind}: {_first_line(error)}")

    def _come_back(self, key: Key | None, error: Exception) -> None:
        # of the database that holds ledger and locks its driver speaks
        if not self._said_away and not isinstance(error, LocksAway):
            self._said_away = True
            self._warn(
                f"MLflow ({self._uri}) cannot be reached; the study continues and syncs when it is "
                f"back: {_first_line(error)}"
            )
        with self._changed:
            if key is not None and not (self._closing and key[1] == _SUMMARY):
                self._due.setdefault(key, 0.0)
            self._pause = min(_LONGEST_PAUSE, 2 * self._pause or _FIRST_PAUSE)
            self._quiet_until = time.monotonic() + self._pause


def _finish(thread: threading.Thread) -> None:
    thread.join(_LAST_WAIT)


def _first_line(error: Exception) -> str:
    return masked(str(error).strip().partition("\n")[0])[:300]
