"""Forecast of a study before it starts: cells, trials, epochs, hours and disk space. Imports no torch."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from study.report.recorded_rates import Rate, RecordedRates
from study.spec.cell import Cell, expand
from study.spec.confirmed_settings import confirmed_at_most, settings_at_most
from study.spec.study_spec import StudySpec
from trainables.core.storage_path import StoragePath


@dataclass(frozen=True)
class CellForecast:
    """Upper bounds of one cell, without pruning and sharing of trainings.

    Attributes:
        cell: its name.
        trials: search trials; under ``budget: epochs`` the number of full ones, more if some are pruned.
        epochs: epochs of the search, reference trainings included.
        confirmed_trials: trials of its confirmation.
        confirmed_epochs: their epochs.
        rate: seconds per epoch and their source; None if unknown.
    """

    cell: str
    trials: int
    epochs: int
    confirmed_trials: int
    confirmed_epochs: int
    rate: Rate | None


@dataclass(frozen=True)
class Forecast:
    """Forecast of a whole study.

    Attributes:
        study: its name.
        cells: one entry per cell.
        epochs_total: the study's limit on epochs of the search, or None.
        concurrency: number of trials at a time that the hours assume.
        bytes_per_trial: disk space of one trial, or None if unknown.
        pruned: True if a pruner may stop trials.
    """

    study: str
    cells: tuple[CellForecast, ...]
    epochs_total: int | None
    concurrency: int
    bytes_per_trial: float | None
    pruned: bool

    @property
    def trials(self) -> int:
        """Number of trials at most, confirmation included."""
        return sum(cell.trials + cell.confirmed_trials for cell in self.cells)

    @property
    def search_epochs(self) -> int:
        """Epochs of the search at most."""
        epochs = sum(cell.epochs for cell in self.cells)
        return epochs if self.epochs_total is None else min(epochs, self.epochs_total)

    @property
    def confirmed_epochs(self) -> int:
        """Epochs of the confirmation at most."""
        return sum(cell.confirmed_epochs for cell in self.cells)

    @property
    def hours(self) -> float | None:
        """Hours at most; None if the rate of a cell is unknown."""
        rates = [cell.rate for cell in self.cells]
        if any(rate is None for rate in rates):
            return None
        every = sum(cell.epochs for cell in self.cells)
        share = self.search_epochs / every if every else 0.0
        seconds = sum(
            (cell.epochs * share + cell.confirmed_epochs) * cell.rate.seconds for cell in self.cells if cell.rate
        )
        return seconds / 3600 / self.concurrency

    @property
    def disk_bytes(self) -> float | None:
        """Disk space of all trials at most; None if unknown."""
        return None if self.bytes_per_trial is None else self.bytes_per_trial * self.trials

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``study check --json``."""
        return {
            "study": self.study,
            "cells": [asdict(cell) for cell in self.cells],
            "trials": self.trials,
            "search_epochs": self.search_epochs,
            "confirmed_epochs": self.confirmed_epochs,
            "concurrency": self.concurrency,
            "hours": self.hours,
            "disk_bytes": self.disk_bytes,
        }


Measured = Mapping[tuple[str, str], Rate]
"""(data set label, profile) -> a rate measured now."""


def forecast(
    spec: StudySpec,
    storage: StoragePath,
    *,
    measure: Callable[[Sequence[Cell]], tuple[Measured, float]] | None = None,
) -> Forecast:
    """Forecast a study.

    Args:
        spec: the checked study.
        storage: the folder of all studies; trials recorded there give the rates.
        measure: measures the rates of cells and the bytes of a trial now, in place of recorded ones.
    """
    cells = expand(spec)
    if measure is not None:
        measured, size = measure(cells)
        rates: dict[str, Rate | None] = {cell.name: measured[cell.dataset, cell.profile] for cell in cells}
        bytes_per_trial: float | None = size
    else:
        recorded = RecordedRates(storage, spec)
        rates, bytes_per_trial = {cell.name: recorded.rate(cell) for cell in cells}, recorded.bytes_per_trial()
    return Forecast(
        spec.name,
        tuple(_cell(spec, cell, rates[cell.name]) for cell in cells),
        spec.search.epochs_total,
        spec.search.concurrency or max(1, (os.cpu_count() or 1) // (spec.resources.cpus * spec.resources.workers)),
        bytes_per_trial,
        spec.search.pruner.name != "none" or spec.search.pruner.patience is not None,
    )


def _cell(spec: StudySpec, cell: Cell, rate: Rate | None) -> CellForecast:
    trials, epochs = _search(spec, cell)
    seeds = spec.confirm.seeds_at_most if spec.confirm is not None else 0
    settings, each = settings_at_most(spec, cell), spec.training.epochs
    confirmed = confirmed_at_most(spec, cell)
    references = seeds * (settings if cell.searched_training else 1) if cell.has_reference else 0
    return CellForecast(cell.name, trials, epochs, confirmed, (confirmed + references) * each, rate)


def _search(spec: StudySpec, cell: Cell) -> tuple[int, int]:
    each, trials = spec.training.epochs, spec.search.trials
    if spec.search.searcher == "grid" and cell.space:
        from study.search.sampler_factory import cell_grid

        size = cell_grid(spec.seed, cell.name_without_fold, cell.space, spec.search.grid_points).size
        trials = trials if spec.search.budget == "epochs" and size > trials else min(trials, size)
    if spec.search.budget == "epochs":
        full = cell.startable(spec.search.trials * each, first=True)
        shared = cell.has_reference and not cell.own_references
        return full, min(spec.search.trials, full * (2 if cell.own_references else 1) + shared) * each
    references = (trials if cell.own_references else 1) if cell.has_reference else 0
    return trials, (trials + references) * each


def forecast_lines(found: Forecast, spec: StudySpec, storage: StoragePath) -> list[str]:
    """Return the forecast as text, one statement a line."""
    search = spec.search
    places = {cell.cell.rpartition("/")[0] for cell in found.cells}
    trials = sum(cell.trials for cell in found.cells)
    by_trials = search.budget == "trials"
    budget = f"{search.trials} trials" if by_trials else f"{search.trials * spec.training.epochs} epochs"
    lines = [
        f"{found.study}: {len(found.cells)} cells ({len(places)} profiles of data sets x {len(spec.methods)} methods)",
        f"search: {'at most' if by_trials else 'at least'} {trials} trials, "
        f"at most {found.search_epochs} epochs ({budget} a cell, {spec.training.epochs} epochs a trial)",
    ]
    if spec.confirm is not None:
        confirmed = sum(cell.confirmed_trials for cell in found.cells)
        lines.append(
            f"confirmation: at most {confirmed} trials, {found.confirmed_epochs} epochs "
            f"({spec.confirm.seeds_said} seeds)"
        )
    lines.append(_time_line(found))
    size = found.disk_bytes
    lines.append(
        f"disk: unknown; no trial of {spec.model.name} is recorded in {storage}"
        if size is None
        else f"disk: about {size / 1e6:.0f} MB in {storage}"
    )
    return lines


def _time_line(found: Forecast) -> str:
    known = [cell.rate for cell in found.cells if cell.rate is not None]
    missing = [cell.cell for cell in found.cells if cell.rate is None]
    if missing:
        return (
            f"time: unknown; no trial of {missing[0]} or another of its data set with this model and batch size is "
            f"recorded; --measure trains two epochs now to find out"
        )
    hours, seconds = found.hours or 0.0, statistics.median(rate.seconds for rate in known)
    span = f"{hours:.2f} hours" if hours >= 0.1 else f"{max(1, math.ceil(hours * 60))} minutes"
    sources = ", ".join(dict.fromkeys(rate.source for rate in known))
    less = ", less what is pruned or shared" if found.pruned else ", less what is shared"
    return (
        f"time: at most about {span} with {found.concurrency} at a time{less} "
        f"({seconds:.3g} s an epoch in the median cell; {sources})"
    )
