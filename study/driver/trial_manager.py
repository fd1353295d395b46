"""The trial manager between runner and ledger: it hands out trials, receives their reports and ends them."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from study.driver.retries import Restarts, Retries, cause_of
from study.ledger.cell_ledger import Assignment
from study.ledger.study_ledger import Ledger
from study.store.study_folder import SHARED
from trainables.core.errors import reason_of
from trainables.core.object_path import StorageFault
from trainables.core.patience import ServiceAway
from trainables.core.step_progress import StepProgress, foremost, read_step_progress, remove_step_progress
from trainables.core.storage_path import StoragePath
from trainables.core.trial_folder import EpochResult, TrialFolder, method_metrics
from trainables.core.trial_report import (
    TRAINED_IN,
    EpochDone,
    Failed,
    MachineFault,
    SharedEpochDone,
    SharedEpochs,
    TrialReport,
)
from trainables.core.trial_task import HANG_NOTE, TrialTask
from trainables.methods.registry import changes_stage, shared_prefix_of

_OWNER_EVERY = 1.0
"""Seconds for which a report takes it for granted that this process still holds the study's lock."""
_REASON_LENGTH = 2000
"""Characters of an error that are kept, from its end."""

Listener = Callable[[Assignment, bool], None]
"""Called after every change of a trial, with the trial and True if it has ended."""


class TrialManager:
    """The only class that changes a trial's state. Runners forward to it and do not know the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        folder: StoragePath,
        *,
        listener: Listener,
        deadline: float | None = None,
        locks: str | None = None,
        owns: Callable[[], bool] = lambda: True,
        plugins: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare to hand out interrupted trials first, then new ones until budget or deadline.

        Args:
            ledger: the study's ledger.
            folder: the study's folder.
            listener: called after every epoch and end.
            deadline: time.monotonic() after which no trial is handed out.
            locks: URL of the database that holds the locks of a folder on object storage.
            owns: tells whether this process still holds the study's lock; asked before a trial is handed out, and
                with reports.
            plugins: path of every plug-in's copy in the study's folder -> digest of its source.
            tell: receives a sentence about a trial that starts again.
        """
        self._locks, self._owns, self._tell, self._plugins = locks, owns, tell, dict(plugins or {})
        self._ledger, self._folder, self._listener, self._deadline = ledger, folder, listener, deadline
        self._interrupted = deque(ledger.interrupted())
        for assignment in self._interrupted:
            remove_step_progress(self.trial_folder(assignment))
        self._live: dict[str, Assignment] = {}
        self._stopped: set[str] = set()
        self._past_first_epoch: set[str] = set()
        self._errors: dict[str, str] = {}
        self._retries: dict[str, Retries] = {}
        self._spent = False
        self.fault: str | None = None
        self._halted, self._asked_owner = False, -math.inf
        self.epochs_seen = 0
        self.restarts = Restarts()

    @property
    def out_of_time(self) -> bool:
        """True once the wall-time budget is spent."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    @property
    def running(self) -> int:
        """Number of trials being trained."""
        return len(self._live)

    @property
    def busy(self) -> bool:
        """True while a trial is being trained, which may have to be handed out again."""
        return bool(self._live)

    def in_first_epoch(self) -> StepProgress | None:
        """Return how far the first epoch is, of the running trial that ends it next; None once a running one has."""
        if not self._past_first_epoch.isdisjoint(self._live):
            return None
        found = (read_step_progress(self.trial_folder(assignment)) for assignment in self._live.values())
        return foremost([progress for progress in found if progress is not None and not progress.doing])

    def after_training(self) -> list[str]:
        """Return what the processes of running trials do that have trained their last epoch, in words.

        Only the folders of trials that do something then are read.
        """
        ending = [each for each in self._live.values() if each.confirms or self._artifacts_of(each)]
        found = (read_step_progress(self.trial_folder(assignment)) for assignment in ending)
        return [progress.doing for progress in found if progress is not None and progress.doing]

    def trial_folder(self, assignment: Assignment) -> StoragePath:
        """Return the folder of a trial's files."""
        return self._folder / "cells" / assignment.key

    def start(self, runner_id: str) -> TrialTask | None:
        """Hand out the next trial, or return None if none may start now.

        Args:
            runner_id: the runner's own name for the trial.
        """
        try:
            return self._start(runner_id)
        except (ServiceAway, StorageFault) as error:  # a trial that was begun is the first of a resume
            self._live.pop(runner_id, None)
            self._halt(error)
            return None

    def _start(self, runner_id: str) -> TrialTask | None:
        assignment = self._next()
        if assignment is None:
            return None
        self._live[runner_id] = assignment
        self._listener(assignment, False)
        return TrialTask(
            trial=assignment.config,
            folder=self.trial_folder(assignment),
            shared=self._folder.parent / SHARED,
            share_prefix=self._shares_prefix(assignment),
            evaluate_test=assignment.confirms,
            threads=self._ledger.study.resources.cpus,
            select_by=self._ledger.study.search.select_by,
            artifacts=self._artifacts_of(assignment),
            locks=self._locks,
            hang_seconds=None if (limit := self._ledger.study.resources.hang_minutes) is None else 60 * limit,
            plugins={str(self._folder / stored): digest for stored, digest in self._plugins.items()},
            workers=self._ledger.study.resources.workers,
            growth_bytes=None
            if (growth := self._ledger.study.resources.worker_growth_gb) is None
            else int(growth * 2**30),
        )

    def _artifacts_of(self, assignment: Assignment) -> tuple[str, ...]:
        return self._ledger.study.artifacts.kinds(
            confirms=assignment.confirms, winner=self._ledger.confirmation.is_winner(assignment)
        )

    def assignment(self, runner_id: str) -> Assignment:
        """Return the trial handed out under a runner's name for it."""
        return self._live[runner_id]

    def _shares_prefix(self, assignment: Assignment) -> bool:
        """Return True if other trials have the same shared prefix; otherwise storing it would serve no trial."""
        if self._ledger.study.search.select_by is not None and not changes_stage(assignment.config):
            return False  # adopted epochs were not evaluated by this method, and so could not be selected
        if assignment.confirms:
            return self._ledger.confirmation.shares_prefix(assignment)
        return shared_prefix_of(assignment.config) == shared_prefix_of(assignment.cell.base)

    def _halt(self, why: Exception | str) -> None:
        """Store nothing more and stop the running trials at their next report; a resume takes their epochs in."""
        self.fault = why if isinstance(why, str) else reason_of(why)
        self._halted = True

    def _still_owned(self, every: float = 0.0) -> bool:
        """Ask for the study's lock, unless it was held less than ``every`` seconds ago."""
        if self._asked_owner + every > time.monotonic():
            return not self._halted
        try:
            if not self._halted and not self._owns():
                self._halt("another process took the study's lock while its database was away")
        except (ServiceAway, OSError) as error:
            self._halt(error)
        self._asked_owner = time.monotonic()
        return not self._halted

    def _next(self) -> Assignment | None:
        if not self._still_owned():
            return None
        while self._interrupted and not self.out_of_time and not self.fault:
            assignment = self._interrupted.popleft()
            if not self._already_done(assignment):
                TrialFolder(self.trial_folder(assignment)).unpack()  # bundled before the ledger lost its end
                return assignment
        if self.out_of_time or self._spent or self.fault:
            return None
        new = self._ledger.next()
        while new is not None and new.confirms and self._already_done(new):
            new = self._ledger.next()
        # the end of a running trial may free capacity for another: in its cell, or in the study's epochs
        self._spent = new is None and not self._live
        return new

    def _already_done(self, assignment: Assignment) -> bool:
        """Report the epochs that an interrupted trial wrote and its dead driver did not; return True if they end it."""
        folder = TrialFolder(self.trial_folder(assignment))
        history = _unbroken(folder.history())
        self._retries_of(assignment).start_from(max((int(result["epoch"]) for result in history), default=0))
        cell, number, epochs = self._ledger.of(assignment), assignment.number, assignment.cell.base.training.epochs
        began = any(not result.get("shared") for result in history)  # adopted epochs are complete by then
        if began and (shared := folder.shared_epochs()) is not None:
            cell.note_shared(number, SharedEpochs.from_json(shared))
        for result in history:
            if _is_of_another_method(result, assignment):
                continue
            values = self._values(result)
            stop = cell.report(number, result["epoch"], values[0])
            own = method_metrics(result)
            if result["epoch"] >= epochs:
                if assignment.confirms and folder.test() is None:  # trained, but not evaluated on test images
                    return False
                self._complete(assignment, result, own, _trained_in(folder))
            elif stop:  # the driver died between this decision and its write
                cell.note_end(number, self._selected(assignment, result), own, _trained_in(folder))
                cell.prune(number)
            else:
                continue
            self._listener(assignment, True)
            return True
        return False

    def report(self, runner_id: str, report: TrialReport) -> bool:
        """Process a report other than the trial's last.

        Returns:
            True if the trial must stop; also if the ledger, the storage or the study's lock is lost.
        """
        if not self._still_owned(_OWNER_EVERY):
            return True
        try:
            return self._note(runner_id, report)
        except (ServiceAway, StorageFault) as error:
            self._halt(error)
            return True

    def _note(self, runner_id: str, report: TrialReport) -> bool:
        assignment = self._live[runner_id]
        match report:
            case SharedEpochDone(epochs):
                self.epochs_seen += epochs
                if epochs:
                    self._past_first_epoch.add(runner_id)
                    self._retries_of(assignment).note_shared_epochs(epochs)
                return False
            case EpochDone():
                self._past_first_epoch.add(runner_id)
                stop = self._report(assignment, report)
                if stop:
                    self._stopped.add(runner_id)
                self._listener(assignment, False)
                return stop
            case _:
                return False

    def _report(self, assignment: Assignment, done: EpochDone) -> bool:
        self.epochs_seen += 1
        self._retries_of(assignment).note_epoch(int(done.result["epoch"]))
        cell = self._ledger.of(assignment)
        if cell.note_shared(assignment.number, done.shared):
            self._report_adopted(assignment)
        return cell.report(assignment.number, done.result["epoch"], self._values(done.result)[0])

    def _report_adopted(self, assignment: Assignment) -> None:
        """Report adopted epochs too, so that the ledger equals that of a trial that shares nothing."""
        cell = self._ledger.of(assignment)
        for result in TrialFolder(self.trial_folder(assignment)).history():
            if result.get("shared") and not _is_of_another_method(result, assignment):
                cell.report(assignment.number, result["epoch"], self._values(result)[0])

    def _values(self, result: EpochResult) -> list[float]:
        return [float(result[name]) for name in self._ledger.study.search.metrics]

    def _complete(
        self, assignment: Assignment, last: EpochResult, own: Mapping[str, float], trained_in: Mapping[str, str]
    ) -> None:
        cell, result = self._ledger.of(assignment), self._selected(assignment, last)
        cell.note_end(assignment.number, result, own, trained_in, self._raced_with(assignment))
        cell.complete(assignment.number, *self._values(result))

    def _raced_with(self, assignment: Assignment) -> Mapping[str, float] | None:
        """Return the test metrics by which a race asks for further seeds; None where there is no race."""
        confirm = self._ledger.study.confirm
        if not assignment.confirms or confirm is None or confirm.race is None:
            return None
        return (TrialFolder(self.trial_folder(assignment)).test() or {}).get("metrics")

    def _selected(self, assignment: Assignment, last: EpochResult) -> EpochResult:
        """Return the epoch result that is the trial's result: the last one, or under ``select: best`` the best one."""
        epoch = self._ledger.of(assignment).selected_epoch(assignment)
        if epoch is None or epoch == last["epoch"]:
            return last
        history = TrialFolder(self.trial_folder(assignment)).history()
        return next((result for result in history if result["epoch"] == epoch), last)

    def note_error(self, runner_id: str, reason: str) -> None:
        """Store a trial's error until the runner reports its end."""
        self._errors[runner_id] = reason[-_REASON_LENGTH:]

    def end(self, runner_id: str, last: TrialReport | None, *, failed: bool) -> None:
        """End a trial in the ledger by its last report.

        A trial that its runner dropped without a report or an error stays RUNNING, and a resume hands it out again. A
        trial whose process died is handed out again at once, up to `resources.retries` times. Tune has such retries
        too, but not for a process that dies while it receives its trial.

        Args:
            runner_id: the runner's name for the trial.
            last: the last report, or None.
            failed: True if the trial's process died or raised an error.
        """
        assignment = self._live.pop(runner_id, None)
        self._past_first_epoch.discard(runner_id)
        if assignment is None or not self._still_owned(_OWNER_EVERY):
            return
        try:
            self._end(runner_id, assignment, last, failed=failed)
        except (ServiceAway, StorageFault) as error:
            self._halt(error)

    def _end(self, runner_id: str, assignment: Assignment, last: TrialReport | None, *, failed: bool) -> None:
        self._spent = False  # the end of the search's last trial starts the confirmation
        cell, number = self._ledger.of(assignment), assignment.number
        if failed:
            reason = self._errors.pop(runner_id, "the trial's process died")
            if (note := _take_hang_note(self.trial_folder(assignment))) is not None:
                reason = note
            if self._tries_again(assignment, reason):
                return
            cell.fail(number, reason)
            self._forget(runner_id, assignment)
            return
        match last:
            case MachineFault(reason):  # no further trial is handed out; a resume finishes this one
                self.fault = reason
                return
            case Failed(reason):
                cell.fail(number, reason)
            case EpochDone(result, method_metrics=own, trained_in=place) if runner_id in self._stopped:
                cell.note_end(number, self._selected(assignment, result), own, place)
                cell.prune(number)
            case EpochDone(result, method_metrics=own, trained_in=place) if (
                result["epoch"] >= assignment.cell.base.training.epochs
            ):
                self._report(assignment, last)
                self._complete(assignment, result, own, place)
            case _:
                return
        self._forget(runner_id, assignment)

    def _forget(self, runner_id: str, assignment: Assignment) -> None:
        """Drop what is kept of a trial that has ended: a study may have many thousands."""
        self._stopped.discard(runner_id)
        self._retries.pop(assignment.key, None)
        self._listener(assignment, True)

    def _retries_of(self, assignment: Assignment) -> Retries:
        most, epochs = self._ledger.study.resources.retries, assignment.cell.base.training.epochs
        return self._retries.setdefault(assignment.key, Retries(most, epochs))

    def _tries_again(self, assignment: Assignment, reason: str) -> bool:
        retries = self._retries_of(assignment)
        again = retries.allows_another(reason)
        if again:
            self.restarts.note(counted=retries.counted)
            remove_step_progress(self.trial_folder(assignment))
            self._interrupted.append(assignment)
            self._tell(f"{assignment.key}: {cause_of(reason)}; it starts again from its last checkpoint")
        return again


def _unbroken(history: Iterable[EpochResult]) -> list[EpochResult]:
    """Return the epochs before the first whose result was damaged; a process repeats that one and the later ones."""
    return [result for number, result in enumerate(history, 1) if result["epoch"] == number]


def _take_hang_note(folder: StoragePath) -> str | None:
    """Return and remove what a process that stood still has written."""
    path = folder / HANG_NOTE
    try:
        said = path.read_text(encoding="utf-8")
        path.unlink(missing_ok=True)
    except OSError:
        return None
    return said[-_REASON_LENGTH:]


def _trained_in(folder: TrialFolder) -> dict[str, str]:
    environment = (folder.config() or {}).get("environment") or {}
    return {name: str(environment[name]) for name in TRAINED_IN if environment.get(name)}


def _is_of_another_method(result: EpochResult, assignment: Assignment) -> bool:
    """Return True if the trial's own method would have evaluated an adopted epoch differently.

    Results agree until the last stage begins. A post-hoc method adopts epochs of ERM and then changes their results.
    """
    return bool(result.get("shared")) and int(result["epoch"]) > assignment.cell.pruning_start_epoch
