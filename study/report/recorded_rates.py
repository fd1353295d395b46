"""Seconds per epoch and bytes of trials recorded in a storage folder."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from study.spec.cell import Cell
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder, stored_names
from trainables.core.storage_path import StoragePath

if TYPE_CHECKING:
    from study.store.study_view import CellView, TrialView

_SAMPLE = 20
"""Largest number of trials of a cell whose folders are measured."""

_SOURCES = ("recorded with the same method", "recorded with other methods", "recorded at other profiles")
"""Where a rate comes from, in the order of `_likenesses`."""


@dataclass(frozen=True)
class Rate:
    """Seconds per epoch of one trial, and where the number comes from."""

    seconds: float
    source: str


class RecordedRates:
    """Rates of the stored studies that train like a given one: same model, weights excepted, batch size and device."""

    def __init__(self, storage: StoragePath, spec: StudySpec) -> None:
        """Read the matching studies in a storage folder; those that cannot be read are left out."""
        self._rates: dict[tuple[object, ...], list[float]] = defaultdict(list)
        self._bytes: list[int] = []
        for view in _matching(storage, spec):
            ended = [trial for trial in view.in_state("COMPLETE", "PRUNED") if trial.epochs_trained]
            rates = [rate for trial in ended if (rate := _seconds_per_epoch(trial)) is not None]
            for likeness in _likenesses(view.cell):
                self._rates[likeness] += rates
            self._bytes += [_size(trial.folder) for trial in ended[:_SAMPLE] if trial.folder.is_dir()]

    def rate(self, cell: Cell) -> Rate | None:
        """Return the median rate of the most similar trials: same method, else same profile, else same data set."""
        for likeness, source in zip(_likenesses(cell), _SOURCES, strict=True):
            if found := self._rates.get(likeness):
                return Rate(statistics.median(found), source)
        return None

    def bytes_per_trial(self) -> float | None:
        """Return the median size of a trial's folder, or None."""
        return statistics.median(self._bytes) if self._bytes else None


def _likenesses(cell: Cell) -> list[tuple[object, ...]]:
    """Return what a cell may share with another, the closest likeness first: method, profile, data set."""
    data = cell.base.data
    dataset = (data.dataset, data.image_size)
    profile = (*dataset, data.profile, data.protocol, data.validation_fraction)
    return [(*profile, cell.base.method.name), profile, dataset]


def _matching(storage: StoragePath, spec: StudySpec) -> Iterator[CellView]:
    names = stored_names(storage)
    if not names:
        return
    from study.store.study_view import open_view  # imports Optuna

    for name in names:
        try:
            view = open_view(StudyFolder(storage, name))
        except Exception:  # whatever is wrong with one study must not hide the others
            continue
        other = view.spec
        if (
            (other.model.name, other.model.tuned) == (spec.model.name, spec.model.tuned)
            and other.training.batch_size == spec.training.batch_size
            and _places(other) == _places(spec)
        ):
            yield from view.cells


def _places(spec: StudySpec) -> tuple[bool, int, int]:
    return spec.resources.gpus > 0, spec.resources.cpus, spec.resources.workers


def _seconds_per_epoch(trial: TrialView) -> float | None:
    """Return the wall time of a trial per epoch, its start and validation included; None for a trial without times."""
    if trial.started is None or trial.ended is None:
        return None
    return (trial.ended - trial.started).total_seconds() / trial.epochs_trained


def _size(folder: StoragePath) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
