"""Reads everything that is stored of a study, and names what is damaged: `study verify`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from study.store.ledger_check import check_known, params_fault, places_of, trial_faults
from study.store.plugin_records import FILE as PLUGINS
from study.store.plugin_records import changed_copy, plugin_records
from study.store.seals import check_text, unsealed_json
from study.store.study_folder import StudyFolder
from study.store.study_view import StudyView, open_view, stored_trials
from study.store.trial_view import TrialView, read_ahead
from study.store.warm_start import read_warm_starts, warm_starts_path
from trainables.core.archive_check import archive_damage
from trainables.core.errors import BadInput, counted, reason_of
from trainables.core.logit_file import LOGIT_FILE, read_logits
from trainables.core.object_path import StorageFault
from trainables.core.storage_path import files_below
from trainables.core.trial_folder import TrialFolder

_TRIAL = re.compile(r"(?:.*/)?\d{5,}")
_ARCHIVES = (".pt", ".pt2")
"""Ends of the names of checkpoints and exported networks."""


class Checked(NamedTuple):
    """What was read of a study.

    Attributes:
        parts: what was read, in words, such as ``data.json`` and ``12 trials``.
        faults: a sentence on each damage, with the file's path.
    """

    parts: tuple[str, ...]
    faults: tuple[str, ...]


def check_study(folder: StudyFolder) -> Checked:
    """Read every file of a study, and compare its ledger with the files of its trials.

    A damaged file hides nothing of the others: without a study file or a ledger, the trials' files are still read.

    Raises:
        BadInput: there is no such study; the nearest name is given. Or a file of it is a pipe or a device.
    """
    folder.refuse_special_files()
    if not folder.spec_path.exists():
        try:
            folder.refuse_remains()
        except BadInput as error:
            trials, faults = _trial_files(folder, None)
            return Checked((counted(trials, "trial"),), (str(error), *faults))
        folder.read_spec()  # raises: no such study
    check = _Check(folder)
    view = check.study()
    trials, faults = _trial_files(folder, view)
    check.parts.append(counted(trials, "trial"))
    check.faults += faults
    if view is not None:
        check.faults += _compared(folder, view)
    return Checked(tuple(check.parts), tuple(dict.fromkeys(check.faults)))


class _Check:
    """Collects the faults of the files that are of the whole study."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self.parts: list[str] = []
        self.faults: list[str] = []

    def _tried(self, part: str, act: Callable[[], object]) -> bool:
        """Note a part as read, and its fault if it has one; return True if it is sound."""
        self.parts.append(part)
        try:
            act()
        except BadInput as error:
            self.faults.append(str(error))
            return False
        return True

    def study(self) -> StudyView | None:
        """Check the study's own files, and open it; None if it cannot be opened."""
        folder, opened = self._folder, list[StudyView]()
        self._tried(folder.format_path.name, folder.oldest_format)
        self._tried(folder.spec_path.name, lambda: check_text(folder.spec_path))
        self._tried(folder.data_path.name, folder.read_data)
        if (folder.path / PLUGINS).exists() and self._tried(PLUGINS, lambda: plugin_records(folder.path)):
            records = plugin_records(folder.path)
            self.parts.append(counted(len(records), "copied plug-in"))
            self.faults += [fault for one in records if (fault := changed_copy(one, folder.path)) is not None]
        if (warm := warm_starts_path(folder)).exists():
            self._tried(warm.name, lambda: _unsealed(folder))
        if not self._tried("the ledger", lambda: opened.append(open_view(folder))):
            return None
        view = opened[0]
        if view.spec.search.warm_start and not warm.exists():
            self._tried(warm.name, lambda: read_warm_starts(folder, view.spec))
        return view


def _unsealed(folder: StudyFolder) -> None:
    place = warm_starts_path(folder)
    try:
        unsealed_json(place)
    except StorageFault:
        raise
    except (OSError, ValueError) as error:
        said = str(error) if isinstance(error, BadInput) else f"{place}: cannot be read ({reason_of(error)})"
        raise BadInput(f"{said}; put back a copy of it, or start a new study") from None


def _trial_files(folder: StudyFolder, view: StudyView | None) -> tuple[int, list[str]]:
    """Check the files of trials that no ledger is needed for; return the number of trials, and the faults.

    Args:
        folder: the study's folder.
        view: the study; without it the bundles are read here, and with it they are when they are compared.
    """
    cells = folder.path / "cells"
    names: dict[str, list[str]] = {}
    for file in files_below(cells):
        # a file in a folder where a bundle should be belongs to the trial, too
        key = file.folder.removesuffix("/trial.zip")
        if _TRIAL.fullmatch(key):
            names.setdefault(key, []).append(file.name)
    faults = []
    for key in sorted(names):
        place = cells / key
        if view is None and (damage := TrialFolder(place).bundle_damage()) is not None:
            faults.append(damage)
        for name in names[key]:
            if name.endswith(_ARCHIVES) and not name.startswith("."):
                try:
                    damage = archive_damage((place / name).read_bytes())
                except FileNotFoundError:  # replaced by a newer one meanwhile
                    continue
                if damage is not None:
                    faults.append(f"{place / name}: is damaged ({damage}); put back a copy of it, or remove it")
        if LOGIT_FILE in names[key]:
            try:
                read_logits(place)
            except BadInput as error:
                faults.append(str(error))
    return len(names) if view is None else sum(len(cell.all_trials) for cell in view.cells), faults


def _compared(folder: StudyFolder, view: StudyView) -> Iterator[str]:
    """Yield a sentence on everything in which ledger, files and digests of the data differ."""
    cells = [cell.cell for cell in view.cells]
    stored = stored_trials(view.spec, cells, folder)
    try:
        check_known(view.spec, {place: len(stored.get(place, ())) for place in places_of(cells)}, folder.path)
    except BadInput as error:
        yield str(error)
    started = {trial.key: trial for cell in view.cells for trial in cell.all_trials}
    read_ahead(started.values())
    for place, trials in stored.items():
        for trial in trials:
            if (key := f"{place}/{trial.number:05d}") in started:
                yield from trial_faults(view.spec, key, trial, folder.path, started[key].files)
    yield from (fault for trial in started.values() if (fault := params_fault(trial)) is not None)
    yield from _other_data(folder, started.values())


def _other_data(folder: StudyFolder, trials: Iterable[TrialView]) -> Iterator[str]:
    """Yield a sentence on each digest of the data that the trials have recorded otherwise."""
    try:
        digests = folder.read_data()
    except BadInput:
        return  # named already
    said = set[str]()
    for trial in trials:
        place = f"{trial.cell.dataset}/{trial.cell.profile}"
        # a trial with a subset of its own has other images than its cell's
        if place in said or place not in digests or trial.config.data != trial.cell.base.data:
            continue
        recorded = (trial.stored_config() or {}).get("data_fingerprint")
        if recorded is not None and recorded != digests[place]:
            said.add(place)
            yield (
                f"{folder.data_path}: has the digest {digests[place]} of {place}, but trial {trial.key} has recorded "
                f"{recorded}; put back a copy of it, or remove it: a resume takes what the trials have recorded"
            )
