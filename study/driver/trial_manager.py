"""Ties Tune's trials to the ledger's: hands trials out, takes their results in, ends them."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from study.ledger.cell_ledger import SHARED_EPOCHS, Assignment
from study.ledger.study_ledger import Ledger
from study.store.study_folder import SHARED
from trainables.core.trial_folder import TrialFolder
from trainables.methods.registry import shared_prefix_of

Listener = Callable[[Assignment, bool], None]
"""Told of every change of a trial: the trial, and whether it has ended."""


class TrialManager:
    """The one place where something happens to a trial. Tune's searcher and scheduler only forward to it."""

    def __init__(self, ledger: Ledger, folder: Path, *, listener: Listener, deadline: float | None = None) -> None:
        """Prepare to hand out interrupted trials first, then new ones until budget or deadline.

        Args:
            ledger: the study's ledger.
            folder: the study's folder.
            listener: told of every epoch and end.
            deadline: time.monotonic() after which no trial is handed out.
        """
        self._ledger, self._folder, self._listener, self._deadline = ledger, folder, listener, deadline
        self._interrupted = deque(ledger.interrupted())
        self._live: dict[str, Assignment] = {}
        self._stopped: set[str] = set()
        self._errors: dict[str, str] = {}
        self._died: Counter[str] = Counter()
        self._spent = False
        self.fault: str | None = None
        self.epochs_seen = 0

    @property
    def out_of_time(self) -> bool:
        """Whether the wall-time budget is spent."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def running(self) -> int:
        """How many trials are trained now."""
        return len(self._live)

    @property
    def busy(self) -> bool:
        """Whether a trial is trained now, so that one may yet have to be handed out again."""
        return bool(self._live)

    def trial_folder(self, assignment: Assignment) -> Path:
        """Return where a trial's files are."""
        return self._folder / "cells" / assignment.key

    def start(self, tune_id: str) -> dict[str, Any] | None:
        """Hand out the next trial as the configuration of its Trainable, or None when there is none now."""
        assignment = self._next()
        if assignment is None:
            return None
        self._live[tune_id] = assignment
        self._listener(assignment, False)
        trial = assignment.config
        return {
            "trial": trial.model_dump(mode="json"),
            "folder": str(self.trial_folder(assignment)),
            "shared": str(self._folder.parent / SHARED),
            "share_opening": self._shares_prefix(assignment),
            "evaluate_test": assignment.confirms,
            "threads": self._ledger.study.resources.cpus,
        }

    def _shares_prefix(self, assignment: Assignment) -> bool:
        """Tell whether others begin alike: an opening that a trial alone has would be stored for nobody."""
        if assignment.confirms:
            return self._ledger.confirmation.shares_prefix(assignment)
        return shared_prefix_of(assignment.config) == shared_prefix_of(assignment.cell.base)

    def _next(self) -> Assignment | None:
        while self._interrupted and not self.out_of_time and not self.fault:
            assignment = self._interrupted.popleft()
            if not self._already_done(assignment):
                return assignment
        if self.out_of_time or self._spent or self.fault:
            return None
        new = self._ledger.next()
        while new is not None and new.confirms and self._already_done(new):
            new = self._ledger.next()
        # while a trial runs, its end may make room for another: in its cell, or in the study's epochs
        self._spent = new is None and not self._live
        return new

    def _already_done(self, assignment: Assignment) -> bool:
        """Take in what an interrupted trial wrote but its dead driver did not; tell whether that ends it."""
        folder = TrialFolder(self.trial_folder(assignment))
        history = folder.history()
        cell, number, epochs = self._ledger.of(assignment), assignment.number, assignment.cell.base.training.epochs
        began = any(not record.get("shared") for record in history)  # all that is shared is there by then
        if began and (shared := folder.shared_epochs()) is not None:
            cell.note_shared(number, shared)
        for record in history:
            if _is_of_another_method(record, assignment):
                continue
            values = self._values(record)
            stop = cell.report(number, record["epoch"], values[0])
            if record["epoch"] >= epochs:
                if assignment.confirms and folder.test() is None:  # trained, but not evaluated
                    return False
                cell.note_end(number, record)
                cell.complete(number, *values)
            elif stop:  # the driver died between this judgement and its telling
                cell.note_end(number, record)
                cell.prune(number)
            else:
                continue
            self._listener(assignment, True)
            return True
        return False

    def result(self, tune_id: str, result: dict[str, Any]) -> bool:
        """Take in one finished epoch.

        Args:
            tune_id: Tune's name for the trial.
            result: what the Trainable returned, flattened with ``/``.

        Returns:
            Whether the trial is to be stopped.
        """
        assignment = self._live[tune_id]
        if "shared_epoch" in result:
            self.epochs_seen += int(result["shared_epoch"])
            return False
        if "record/epoch" not in result:
            return False
        stop = self._report(assignment, result)
        if stop:
            self._stopped.add(tune_id)
        self._listener(assignment, False)
        return stop

    def _report(self, assignment: Assignment, result: dict[str, Any]) -> bool:
        self.epochs_seen += 1
        cell = self._ledger.of(assignment)
        shared = {name: int(result.get(f"shared/{name}", 0)) for name in SHARED_EPOCHS}
        if cell.note_shared(assignment.number, shared):
            self._report_adopted(assignment)
        return cell.report(assignment.number, int(result["record/epoch"]), self._values(result, "record/")[0])

    def _report_adopted(self, assignment: Assignment) -> None:
        """Tell the ledger of the epochs that a trial took over, so that it reads like one that shares nothing."""
        cell = self._ledger.of(assignment)
        for record in TrialFolder(self.trial_folder(assignment)).history():
            if record.get("shared") and not _is_of_another_method(record, assignment):
                cell.report(assignment.number, record["epoch"], self._values(record)[0])

    def _values(self, record: dict[str, Any], prefix: str = "") -> list[float]:
        return [float(record[f"{prefix}{name}"]) for name in self._ledger.study.search.metrics]

    def note_error(self, tune_id: str, reason: str) -> None:
        """Keep what a trial died of until its end is told."""
        self._errors[tune_id] = reason

    def end(self, tune_id: str, result: dict[str, Any] | None, *, failed: bool) -> None:
        """End a trial in the ledger, in the way its last result calls for.

        A trial that Tune dropped without a result or an error stays RUNNING: a resume hands it out again. One
        whose process died is handed out again at once, as often as the study says. Tune would do that too, but
        not for a process that dies while it is given its trial.

        Args:
            tune_id: Tune's name for the trial.
            result: the last result, flattened, or None.
            failed: whether its process died or raised.
        """
        assignment = self._live.pop(tune_id, None)
        if assignment is None:
            return
        self._spent = False  # the end of a search's last trial is the beginning of what confirms
        cell, number = self._ledger.of(assignment), assignment.number
        if failed:
            reason = self._errors.pop(tune_id, "the trial's process died")
            if self._tries_again(assignment):
                return
            cell.fail(number, reason)
        elif result is None:
            return
        elif "machine_fault" in result:  # nothing more is handed out; a resume finishes the trial
            self.fault = str(result["machine_fault"])
            return
        elif "failure" in result:
            cell.fail(number, str(result["failure"]))
        elif tune_id in self._stopped:
            cell.note_end(number, _record(result))
            cell.prune(number)
        elif int(result.get("record/epoch", 0)) >= assignment.cell.base.training.epochs:
            self._report(assignment, result)
            cell.note_end(number, _record(result))
            cell.complete(number, *self._values(result, "record/"))
        else:
            return
        self._listener(assignment, True)

    def _tries_again(self, assignment: Assignment) -> bool:
        self._died[assignment.key] += 1
        again = self._died[assignment.key] <= self._ledger.study.resources.retries
        if again:
            self._interrupted.append(assignment)
        return again


def _record(result: dict[str, Any]) -> dict[str, Any]:
    """Return the epoch's record that a flattened result holds."""
    return {name.removeprefix("record/"): value for name, value in result.items() if name.startswith("record/")}


def _is_of_another_method(record: dict[str, Any], assignment: Assignment) -> bool:
    """Tell whether an epoch was taken over that the trial's own method would have judged differently.

    Before the last switch of stages it would not; a post-hoc method takes over epochs of ERM, which it changes.
    """
    return bool(record.get("shared")) and int(record["epoch"]) > assignment.cell.pruning_start_epoch
