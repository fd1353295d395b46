"""Run and resume a study: check, lock, start or join Ray, train until the budget is spent, summarise."""

from __future__ import annotations

import errno
import logging
import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from study.driver.bounded import FAREWELL, within
from study.driver.changed_settings import refuse_changes
from study.driver.exit_codes import ExitCode
from study.driver.log_lines import JOINING, finished
from study.driver.loss_of_ray import LossOfRay
from study.driver.outcome import Outcome, outcome_of, without_ledger
from study.driver.places import password_notes, with_places
from study.driver.progress import Progress
from study.ledger.cell_ledger import Assignment
from study.ledger.storage import NOTHING_BEGAN, ClosedLedger, ledger_at, open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import Cell, expand
from study.spec.study_spec import StudySpec
from study.spec.validation import milestone_note
from study.store.completion import why_finished
from study.store.ledger_check import check_known, check_results
from study.store.partial_files import remove_partial_files
from study.store.plugin_records import changed_origins, plugin_records
from study.store.same_data import check_same_data
from study.store.study_folder import PACKED, StudyFolder
from study.store.trial_view import STATES, TrialView, trial_view
from study.store.warm_start import find_warm_starts, keep_warm_starts, read_warm_starts
from trainables.core.database_lock import DatabaseLock
from trainables.core.errors import BadInput, reason_of
from trainables.core.locks import Lock
from trainables.core.object_path import StorageFault, speak_of_outages
from trainables.core.patience import Patience, ServiceAway
from trainables.core.storage_path import StoragePath

if TYPE_CHECKING:
    from study.driver.restart import Again
    from study.driver.trial_runner import TrialRunner

_log = logging.getLogger(__name__)

_CATCH_UP = 60.0
"""Seconds in which MLflow may catch up when a study ends by itself."""


def run(
    spec: StudySpec,
    storage: StoragePath,
    *,
    address: str | None,
    console: Console,
    source: str = "the study file",
    again: Again | None = None,
    continued_by: str | None = None,
) -> Outcome:
    """Start a new study.

    Args:
        spec: the checked study.
        storage: the folder of all studies.
        address: address of a running Ray cluster; None starts Ray on this machine.
        console: where progress is shown.
        source: the study file's name in messages.
        again: replaces this process by one that resumes, should Ray on this machine die; None ends the process.
        continued_by: the command that messages name to continue the study; None is ``study resume`` with the address.

    Raises:
        BadInput: the study, the data or the storage is invalid; raised before Ray starts.
    """
    from study.driver.preflight import (  # imports torch
        check_data,
        check_places,
        check_resources,
        checked_cluster,
        precision_note,
        with_weights,
    )

    spec = with_places(spec)
    folder = _to_continue(StudyFolder(storage, spec.name, ledger=spec.records.ledger), address, continued_by)
    check_resources(spec.resources, address)
    address = checked_cluster(address)
    check_places(spec.records, storage)
    spec = with_weights(spec, console, source=source)
    cells = expand(spec)
    warm_starts = find_warm_starts(spec, cells, storage, source=source)
    data = check_data(spec, cells, console, source=source)
    _say_of_passwords(spec, console)
    folder.refuse_taken()  # after the file's own errors, which another name would not fix
    _check_nodes(address, storage, spec, console)
    if address is None and (note := precision_note(spec)) is not None:
        console.print(f"  {note}", highlight=False, markup=False)
    with _writing(storage), folder.driver_lock() as lock:
        folder.refuse_taken()
        folder.remove_leftovers()
        keep_warm_starts(folder, warm_starts)
        spec = folder.create(spec, data)
        patience = _patience(spec, console)
        ledger = _open_ledger(spec, cells, folder, patience)
        return _drive(spec, ledger, folder, address, console, lock, again, patience)


def resume(
    name: str,
    storage: StoragePath,
    overrides: tuple[str, ...],
    *,
    address: str | None,
    console: Console,
    data_dir: Path | None = None,
    again: Again | None = None,
    continued_by: str | None = None,
) -> Outcome:
    """Continue a stored study from its ledger, possibly with a larger budget.

    Args:
        name: the stored study's name.
        storage: the folder of all studies.
        overrides: ``path=value`` pairs; only those in `changed_settings.RAISABLE` may change.
        address: address of a running Ray cluster; None starts Ray on this machine.
        console: where progress is shown.
        data_dir: the data folders' new parent folder, if they were moved.
        again: as in `run`.
        continued_by: as in `run`.

    Raises:
        BadInput: the study does not exist, a change would make old and new trials incomparable, or the data changed.
    """
    folder = _to_continue(StudyFolder(storage, name), address, continued_by)
    # an unchanged finished study needs no check of params or data, and so no import of torch
    if not overrides and data_dir is None:
        try:
            why = why_finished(folder)
        except ClosedLedger as error:  # told as to a reader, who may reach it elsewhere
            raise ClosedLedger(error.said, NOTHING_BEGAN) from None
        if why is not None:
            return _idle(folder, why, console)
    from study.driver.preflight import check_data, check_places, check_resources, checked_cluster, precision_change_note

    before, spec = folder.read_spec(to_train=True), folder.read_spec(overrides, to_train=True)
    refuse_changes(before, spec)
    for changed in changed_origins(folder.path):
        console.print(f"  {changed}", style="yellow", highlight=False, markup=False)
    spec = spec.with_data_dir(data_dir, everywhere=True)
    _say_of_passwords(spec, console)
    cells = expand(spec)
    with _writing(storage), folder.driver_lock() as lock:
        patience = _patience(spec, console)
        ledger = _open_ledger(spec, cells, folder, patience)
        if ledger.remaining() == 0:
            return _idle(folder, ledger.why_finished(), console)
        check_resources(spec.resources, address)
        address = checked_cluster(address)
        check_places(spec.records, storage)
        data = check_data(spec, cells, console, source=str(folder.spec_path))
        started = _started(ledger, folder)
        _check_nodes(address, storage, spec, console)
        check_same_data(folder, data, started, say=partial(console.print, highlight=False, markup=False))
        if address is None and (note := precision_change_note(spec, started)) is not None:
            console.print(f"  {note}", style="yellow", highlight=False, markup=False)
        folder.write_spec(spec)
        # the open ledger is reused: a database takes seconds to read thousands of trials
        return _drive(spec, ledger, folder, address, console, lock, again, patience)


def _to_continue(folder: StudyFolder, address: str | None, continued_by: str | None) -> StudyFolder:
    """Let messages name the command that continues the study where it runs."""
    if continued_by is not None:
        folder.continued_by = continued_by
    elif address is not None:
        folder.continued_by = f"{folder.command('resume')} --address {shlex.quote(address)}"
    return folder


def _data_folders(spec: StudySpec) -> list[Path]:
    """Return the data sets' own folders, where they have some, since a mount point without its mount is there, too."""
    folders = {(Path(data.data_dir), data.dataset) for data in spec.data if data.data_dir is not None}
    return sorted({folder / name if (folder / name).exists() else folder for folder, name in folders})


def _check_nodes(address: str | None, storage: StoragePath, spec: StudySpec, console: Console) -> None:
    """Refuse a cluster whose nodes do not share the study's folders; say what else differs between them."""
    if address is None or address == "local":
        return
    from study.driver.node_report import check_nodes

    console.print(f"asking the nodes at {address} for the study's folders", highlight=False)
    for note in check_nodes(address, storage, _data_folders(spec)):
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)


@contextmanager
def _writing(storage: StoragePath) -> Iterator[None]:
    """Turn the error of a storage folder that is full or cannot be written into one message."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        where = f" ({error.filename})" if error.filename else ""
        raise BadInput(f"cannot write to the storage folder {storage}: {error.strerror}{where}") from None


def _say_of_passwords(spec: StudySpec, console: Console) -> None:
    for note in password_notes(spec):
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)


def _patience(spec: StudySpec, console: Console) -> Patience:
    """Return how long the study waits for a ledger in a database, which also holds its locks on object storage.

    Outages of ledger and storage are said on the console.
    """

    def say(message: str) -> None:
        console.print(f"  {message}", style="yellow", highlight=False, markup=False)

    what = ledger_at(spec.records.ledger) if spec.records.ledger is not None else "the ledger"
    speak_of_outages(say)
    return Patience(what, 60 * spec.records.wait_minutes, say=say, final=True)


def _open_ledger(spec: StudySpec, cells: list[Cell], folder: StudyFolder, patience: Patience) -> Ledger:
    storage = open_storage(folder.path, spec.records.ledger, patience=patience)
    ledger = Ledger(spec, cells, storage, read_warm_starts(folder, spec), folder.trial_reader())
    trials = {place: cell.trials() for place, cell in ledger.places.items()}
    # a confirmation that the study file no longer asks for keeps its folders
    check_known(spec, {place: len(found) for place, found in trials.items()}, folder.path)
    for place, found in trials.items():
        check_results(spec, place, found, folder.path)
    return ledger


def _started(ledger: Ledger, folder: StudyFolder) -> list[TrialView]:
    """Return all trials of an open ledger that have started."""
    return [
        trial_view(cell.cell, trial, folder.path)
        for cell in ledger.places.values()
        for trial in cell.trials()
        if trial.state.name in STATES
    ]


def _idle(folder: StudyFolder, why: str, console: Console) -> Outcome:
    _catch_up(folder, console)
    return Outcome(folder, ExitCode.DONE, f"{finished(folder.name)}{why}", idle=True)


def _catch_up(folder: StudyFolder, console: Console) -> None:
    """Record what a driver left out that died between its last trial's end and the record of it."""
    from study.tracking import record_study

    try:
        record_study(folder)
    except BadInput as error:
        console.print(f"{error}; later: {folder.command('record')}", style="yellow", highlight=False)


def _missing_umap(spec: StudySpec) -> str | None:
    """Return a sentence if the study plots embeddings and this machine lacks UMAP, else None."""
    if "embedding" not in spec.artifacts.kinds(confirms=spec.confirm is not None):
        return None
    from trainables.training.embedding import UMAP_MISSING, has_umap  # imports torch

    return None if has_umap() else UMAP_MISSING


def _drive(
    spec: StudySpec,
    ledger: Ledger,
    folder: StudyFolder,
    address: str | None,
    console: Console,
    lock: Lock,
    again: Again | None,
    patience: Patience,
) -> Outcome:
    from study.driver.head_watch import HeadWatch
    from study.driver.interrupts import Interrupts
    from study.driver.local_ray import LocalRay
    from study.driver.trial_manager import TrialManager
    from study.driver.trial_packing import TrialPacker
    from study.tracking import Recorder

    remove_partial_files(folder.path)
    progress = Progress(ledger, console)
    if (note := milestone_note(spec)) is not None:
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)
    if len(spec.search.metrics) > 1:
        console.print("  several metrics: nothing is pruned, since pruners judge by one", highlight=False)
    if (missing := _missing_umap(spec)) is not None:
        console.print(f"  {missing}", highlight=False)
    hours = spec.search.wall_hours
    deadline = None if hours is None else time.monotonic() + hours * 3600
    console.print("starting Ray" if address is None else f"{JOINING}{address}", highlight=False)
    fault, out_of_time = None, False
    with Interrupts(folder.command, progress.say) as interrupts:
        patience.stopped = lambda: interrupts.asked
        recorder = Recorder(folder.storage, spec, ledger, warn=progress.say)
        progress.hurried = interrupts.came
        loss = LossOfRay(folder, ledger, progress, recorder, interrupts)
        leftovers = folder.oldest_format() >= PACKED
        packer = TrialPacker(folder.path / "cells", ledger, warn=progress.say, leftovers=leftovers)

        def listen(assignment: Assignment, ended: bool) -> None:
            recorder.touch(assignment, ended)
            packer.touch(assignment, ended)

        try:
            manager = TrialManager(
                ledger,
                folder.path,
                listener=listen,
                deadline=deadline,
                locks=folder.locks_database(),
                owns=partial(_still_held, lock, patience),
                plugins={record.stored: record.digest for record in plugin_records(folder.path)},
                tell=progress.say,
            )
            progress.attach(manager)
            # Tune handles interrupts while it runs; an interrupt during Ray's start or stop is caught here
            with suppress(KeyboardInterrupt), progress, ExitStack() as stack:
                ray = None if address is not None else stack.enter_context(LocalRay(folder.command("resume")))
                from study.driver.ray_tune import RayTuneRunner  # takes seconds, in which Ray starts

                if ray is not None:
                    address = ray.address()
                    ray.watch(partial(loss.of_this_machine, again))
                assert address is not None
                if ray is None and address != "local":
                    stack.enter_context(HeadWatch(address, loss.of_the_head))
                runner: TrialRunner = RayTuneRunner(spec, ledger, folder, address, progress, interrupts)
                try:
                    runner.run(manager)
                except OSError as error:
                    if isinstance(error, StorageFault) or error.errno not in _UNWRITABLE:
                        raise
                    why = f"cannot write to the storage folder {folder.storage}: {error.strerror}"
                    manager.fault = manager.fault or why
            fault, out_of_time = manager.fault, manager.out_of_time
            if manager.restarts:
                progress.say(str(manager.restarts))
        except (StorageFault, ServiceAway) as error:
            fault = reason_of(error)
        except KeyboardInterrupt:  # beside Ray, and said: what there is to do is left to a resume
            pass
        finally:
            interrupts.recording()
            with suppress(KeyboardInterrupt):
                recorder.close(FAREWELL if interrupts.asked else _CATCH_UP)
            with suppress(KeyboardInterrupt):
                packer.close(FAREWELL if interrupts.asked else _CATCH_UP)
    if patience.gave_up is not None:
        return without_ledger(folder, patience.gave_up, interrupted=interrupts.asked)
    read = partial(outcome_of, spec, ledger, folder, fault=fault, out_of_time=out_of_time)
    try:
        return within(FAREWELL, read) if interrupts.asked else read()
    except (StorageFault, ServiceAway, TimeoutError) as error:
        why = reason_of(error) if not isinstance(error, TimeoutError) else f"the ledger does not answer ({error})"
        return without_ledger(folder, fault or why, interrupted=interrupts.asked)


def _still_held(lock: Lock, patience: Patience) -> bool:
    """Ask the lock; one in a database is waited for as the ledger is, and for seconds after a signal."""
    if not isinstance(lock, DatabaseLock):
        return lock.still_held()
    return patience.call(
        lambda again: within(FAREWELL, lock.still_held, counting=patience.stopped),
        lambda error: error.strerror if isinstance(error, OSError) else None,
    )
