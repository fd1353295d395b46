"""Record landscapes with several seeds per point: curves of every cell at quasi-random points, in one small file.

The platform's own trainer trains every point, one process per core, without Ray and without trial folders. The lists
`LANDSCAPES` say what is recorded. Points are the preset's setting and then scrambled Sobol points of the cell's own
space, drawn anew for every cell, so that errors of interpolation differ between ratios. Seeds come in rounds: after the
first round every point has one training.

    python -m benchmarks.seeded_landscapes mnist-small --work /tmp/landscapes

Each process appends finished trainings to a file of its own under ``--work``; a restart repeats at most the training
that was under way in each process. The last call packs all of them into ``benchmarks/landscapes/NAME.json.gz``.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.machine import cores, header
from search_spaces import Space
from study.spec.cell import Cell, expand
from study.spec.study_spec import StudySpec

FOLDER = Path(__file__).parent / "landscapes"
"""Packed landscapes."""


@dataclass(frozen=True)
class Landscape:
    """What is recorded.

    Attributes:
        dataset: images.
        image_size: height and width in pixels.
        methods: methods, each with the learning rate beside its own space.
        ratios: imbalance ratios of long-tailed profiles.
        model: backbone.
        epochs: epochs of a training.
        batch_size: images per step.
        validation_fraction: share of each class that is held out; a large share makes the training set small.
        validation_per_class: number of held-out images per class that are evaluated.
        points: Sobol points of a cell, beside the preset's setting.
        seeds: trainings of every point.
    """

    dataset: str
    image_size: int
    methods: tuple[str, ...]
    ratios: tuple[float, ...] = (10.0, 20.0, 50.0, 100.0, 200.0)
    model: str = "mlp"
    epochs: int = 8
    batch_size: int = 128
    validation_fraction: float = 0.85
    validation_per_class: int = 300
    points: int = 60
    seeds: int = 2


LANDSCAPES = {
    "mnist-small": Landscape("mnist", 14, ("cce", "affinity", "elm", "focal", "vs", "offset")),
    "cifar-small": Landscape("cifar10", 12, ("ldam-drw", "logit-adjustment", "gcl", "mixup"), validation_per_class=200),
    "cifar-long": Landscape("cifar10", 12, ("las", "ldam", "cb-rw"), epochs=27, validation_per_class=200, points=40),
}
"""Landscapes by name."""


def study_of(name: str, landscape: Landscape) -> StudySpec:
    """Return the study whose cells are recorded; a replay takes its spaces and presets from it."""
    return StudySpec.model_validate(
        {
            "name": name,
            "question": "Recorded with several seeds per point, to be replayed",
            "data": [
                {
                    "dataset": landscape.dataset,
                    "image_size": landscape.image_size,
                    "validation_fraction": landscape.validation_fraction,
                    "profiles": [{"kind": "long_tail", "ratio": list(landscape.ratios)}],
                }
            ],
            "methods": list(landscape.methods),
            "model": landscape.model,
            "training": {
                "epochs": landscape.epochs,
                "batch_size": landscape.batch_size,
                "lr": 0.05,
                "precision": "float32",
                "augmentation": "none",
            },
            "search": {
                "pruner": "none",
                "training": {"lr": {"low": 0.003, "high": 0.3, "scale": "log"}},
            },
        }
    )


def points_of(cell: Cell, count: int) -> list[dict[str, Any]]:
    """Return the preset's params of a cell, then ``count`` scrambled Sobol points of its space as natural params."""
    from scipy.stats import qmc

    names = list(cell.space)
    of_cell = int.from_bytes(hashlib.sha256(cell.name.encode()).digest()[:4], "big")
    drawn = qmc.Sobol(len(names), seed=of_cell).random_base2((count - 1).bit_length())[:count]
    return [_nearest(cell.space, cell.preset_params()), *(_natural(cell.space, row) for row in drawn)]


def _nearest(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    return {name: dimension.nearest(params[name]) for name, dimension in space.items()}


def _natural(space: Space, row: Any) -> dict[str, Any]:
    return {name: d.from_unit(float(place)) for (name, d), place in zip(space.items(), row, strict=True)}


def jobs_of(cells: list[Cell], landscape: Landscape) -> Iterator[tuple[Cell, int, dict[str, Any], int]]:
    """Yield cell, number of the point, params and seed of every training, one round of seeds after the other."""
    points = {cell.name: points_of(cell, landscape.points) for cell in cells}
    for seed in range(landscape.seeds):
        for number in range(landscape.points + 1):
            for cell in cells:
                yield cell, number, points[cell.name][number], seed


def done_in(work: Path) -> dict[tuple[str, int, int], list[float]]:
    """Return the finished trainings: cell, point and seed -> curve. A line that a kill cut off is left out."""
    found = {}
    for part in sorted(work.glob("part-*.jsonl")):
        for line in part.read_text().splitlines():
            try:
                cell, number, seed, curve = json.loads(line)
            except ValueError:
                continue
            found[cell, number, seed] = curve
    return found


def _work(name: str, work: Path, worker: int, jobs: int) -> None:
    """Train every ``jobs``-th of the trainings that are not finished."""
    import torch

    from trainables.data import load
    from trainables.training.finite_watch import NonFiniteLoss
    from trainables.training.trainer import Trainer

    torch.set_num_threads(1)
    landscape = LANDSCAPES[name]
    cells, done = expand(study_of(name, landscape)), done_in(work)
    data = {}
    with (work / f"part-{worker}.jsonl").open("a") as out:
        if out.tell():
            out.write("\n")  # the last line may have been cut off
        for place, (cell, number, params, seed) in enumerate(jobs_of(cells, landscape)):
            if place % jobs != worker or (cell.name, number, seed) in done:
                continue
            if cell.ratio not in data:
                data[cell.ratio] = _few_validated(load(cell.base.data), landscape.validation_per_class)
            config = cell.trial(params, number).model_copy(update={"seed": seed})
            trainer, curve = Trainer(config, data[cell.ratio], torch.device("cpu")), []
            try:
                while not trainer.finished:
                    curve.append(round(float(trainer.run_epoch()["balanced_accuracy"]), 5))
            except NonFiniteLoss:
                pass  # a curve shorter than the budget diverged
            out.write(json.dumps([cell.name, number, seed, curve]) + "\n")
            out.flush()


def _few_validated(data: Any, per_class: int) -> Any:
    """Return the data with the first ``per_class`` validation images of every class."""
    import torch

    labels = data.validation.labels
    rows = torch.cat([(labels == k).nonzero()[:per_class, 0] for k in range(len(data.class_counts))])
    return replace(data, validation=data.validation.take(rows.sort().values))


def pack(name: str, work: Path, path: Path) -> int:
    """Write the finished trainings into one file; return their number.

    The file holds ``landscape`` (what was recorded) and ``cells``: name -> ``points`` (natural params) and ``curves``,
    by point and seed, of balanced accuracy after every epoch. The curve of a training that is missing is null; one that
    diverged is shorter.
    """
    landscape, done = LANDSCAPES[name], done_in(work)
    cells = expand(study_of(name, landscape))
    content = {
        "landscape": vars(landscape),
        "cells": {
            cell.name: {
                "points": points_of(cell, landscape.points),
                "curves": [
                    [done.get((cell.name, number, seed)) for seed in range(landscape.seeds)]
                    for number in range(landscape.points + 1)
                ],
            }
            for cell in cells
        },
    }
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(content, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))  # without a time, equal content gives equal bytes
    return len(done)


def main() -> None:
    """Record a landscape and pack it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=LANDSCAPES, help="landscape")
    parser.add_argument("--work", type=Path, required=True, help="folder of unpacked trainings; a restart continues it")
    parser.add_argument("--out", type=Path, help="packed file (benchmarks/landscapes/NAME.json.gz)")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes")
    parser.add_argument("--pack", action="store_true", help="only pack what is finished")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(header("benchmarks.seeded_landscapes", "torch"), flush=True)
    work, began = given.work / given.name, time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    if not given.pack:
        workers = [
            get_context("spawn").Process(target=_work, args=(given.name, work, worker, given.jobs))
            for worker in range(given.jobs)
        ]
        for one in workers:
            one.start()
        for one in workers:
            one.join()
    path = given.out or FOLDER / f"{given.name}.json.gz"
    count = pack(given.name, work, path)
    print(f"{count} trainings in {path} ({path.stat().st_size} bytes), {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
