"""The cost of a reproduction: cells, trials, and hours from a recorded or a shipped measured rate. Imports no torch."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from study.report.forecast import Forecast, Measured, forecast
from study.reproduce.published import STUDIES
from study.reproduce.reproduction_plan import Plan
from study.spec.cell import Cell, expand
from study.spec.study_spec import StudySpec
from trainables.core.config import DataConfig
from trainables.core.storage_path import StoragePath
from trainables.data.catalog import DATASETS
from trainables.data.imbalance_profiles import profile_counts

RATES = STUDIES / "seconds-per-image.csv"
"""Measured seconds of one processor core per training image: network, image size, channels, seconds."""

_SIZES = {
    "tiny-imagenet": (200, 100_000, 64),
    "road-marking": (9, 1_150, 32),
    "imagenet-lt": (1000, 115_846, 224),
    "places-lt": (365, 62_500, 224),
    "sun397": (397, 87_000, 32),
    "celeba-5": (5, 6_651, 32),
    "dil-5": (5, 600, 224),
    "dil-10": (10, 870, 224),
}
"""Data sets that are had by hand -> classes, training images (roughly), pixels of a side."""

MeasureStudy = Callable[[StudySpec, Sequence[Cell]], tuple[Measured, float]]


@dataclass(frozen=True)
class Cost:
    """What a reproduction costs at most.

    Attributes:
        cells: number of cells of its studies.
        trials: number of trials, confirmation included.
        hours: hours; None if unknown.
        source: where the rate comes from: ``recorded``, ``measured now``, ``one core``, the shipped rates of one
            processor core, or ``unknown``.
    """

    cells: int
    trials: int
    hours: float | None
    source: str


def cost_of(plan: Plan, storage: StoragePath, measure: MeasureStudy | None = None) -> Cost:
    """Return the cost of a plan, without what is stored already.

    Args:
        plan: the plan.
        storage: folder of studies; trials recorded there give the rates, else the shipped ones do.
        measure: measures the rates of a study now, in place of both.
    """
    specs = [study.spec for study in plan.studies.values()]
    if measure is not None:
        ask = measure
        found = [forecast(spec, storage, measure=lambda cells, spec=spec: ask(spec, cells)) for spec in specs]  # type: ignore[misc]
        return _sum(found, [one.hours for one in found], "measured now")
    found = [forecast(spec, storage) for spec in specs]
    recorded = [one.hours for one in found]
    if found and all(hours is not None for hours in recorded):
        return _sum(found, recorded, "recorded")
    shipped = [_core_hours(spec, one) for spec, one in zip(specs, found, strict=True)]
    return _sum(found, shipped, "one core" if shipped and None not in shipped else "unknown")


def _sum(found: Iterable[Forecast], hours: list[float | None], source: str) -> Cost:
    every = list(found)
    known = [one for one in hours if one is not None]
    total = sum(known) if every and len(known) == len(hours) else None
    return Cost(sum(len(one.cells) for one in every), sum(one.trials for one in every), total, source)


def _core_hours(spec: StudySpec, found: Forecast) -> float | None:
    """Return hours on one core as ERM trains, validation left out; None for a network or data set without a number."""
    seconds = 0.0
    for cell, cost in zip(expand(spec), found.cells, strict=True):
        about = _about(cell.base.data)
        if about is None:
            return None
        images, size = about
        rate = _rates().get((spec.model.name, spec.training.crop_size or cell.base.data.image_size or size))
        if rate is None:
            return None
        seconds += (cost.epochs + cost.confirmed_epochs) * images * rate
    return seconds / 3600


def _about(data: DataConfig) -> tuple[int, int] | None:
    """Return the training images of a cell and their size in pixels."""
    if data.dataset in DATASETS:
        known = DATASETS[data.dataset]
        classes, images, size = known.classes, known.train_images, known.image_shape[1]
    elif data.dataset in _SIZES:
        classes, images, size = _SIZES[data.dataset]
    else:
        return None
    held = data.validation_fraction if data.protocol == "holdout" else 0.0
    if data.folds is not None:
        held = 1 / data.folds
    if data.profile.kind == "natural":
        return round(images * (1 - held)), size
    return sum(profile_counts(data.profile, [round(images / classes * (1 - held))] * classes)), size


@cache
def _rates() -> dict[tuple[str, int], float]:
    if not RATES.is_file():
        return {}
    with RATES.open(encoding="utf-8", newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return {(row["network"], int(row["image_size"])): float(row["seconds"]) for row in csv.DictReader(lines)}
