"""Images per second of the on-device pipeline with strong augmentation, without, and augmented one image at a time.

`ours` is `BatchPipeline` with ``crop-flip`` and the settings of a row, from stored images to normalised batches; its
ratio is to ``crop-flip`` alone. `one by one` calls torchvision's transform for every image of the batch on the same
tensors, which is what gives every image operations of its own there. Medians over rounds in which all take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms import v2

from benchmarks.machine import header
from trainables.core.device import pick_device
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.data.pipeline.strong_augmentation import StrongAugmentation
from trainables.data.splits import Split

_BATCH = 128
_MEAN, _STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
_FILL = (125, 122, 114)

CASES: dict[str, tuple[StrongAugmentation | None, Callable[[Tensor], Tensor] | None]] = {
    "crop-flip alone": (None, None),
    "contrast, saturation": (StrongAugmentation(contrast=0.4, saturation=0.4), None),
    "cutout": (StrongAugmentation(cutout=16, fill=_FILL), None),
    "RandAugment": (StrongAugmentation(policy="rand"), v2.RandAugment()),
    "TrivialAugment": (StrongAugmentation(policy="trivial"), v2.TrivialAugmentWide()),
    "RandAugment, cutout": (StrongAugmentation(policy="rand", cutout=16, fill=_FILL), None),
}
"""Row -> our augmentation, and torchvision's for one image."""


def rates(size: int, images: int, rounds: int) -> dict[str, tuple[float, float | None]]:
    """Return images per second by row: ours, and one by one where there is such a transform.

    Args:
        size: height and width of the images, in pixels.
        images: stored images, all of which a round augments.
        rounds: of which the median is taken, after one that is not timed.
    """
    device = pick_device()
    generator = torch.Generator().manual_seed(0)
    stored = torch.randint(0, 256, (images, 3, size, size), dtype=torch.uint8, generator=generator)
    split = Split(stored, torch.zeros(images, dtype=torch.int64))
    options: dict[str, Any] = {"augmentation": "crop-flip", "device": device}
    runs: dict[tuple[str, bool], Callable[[], None]] = {}
    for name, (strong, single) in CASES.items():
        pipeline = BatchPipeline(split, _MEAN, _STD, strong=strong, **options)
        runs[name, True] = _whole(pipeline, images, None)
        if single is not None:
            runs[name, False] = _whole(BatchPipeline(split, _MEAN, _STD, **options), images, single)
    seconds: dict[tuple[str, bool], list[float]] = {key: [] for key in runs}
    for turn in range(rounds + 1):
        for key, run in runs.items():
            began = time.perf_counter()
            run()
            if turn:
                seconds[key].append(time.perf_counter() - began)
    found = {key: images / statistics.median(taken) for key, taken in seconds.items()}
    return {name: (found[name, True], found.get((name, False))) for name in CASES}


def _whole(pipeline: BatchPipeline, images: int, single: Callable[[Tensor], Tensor] | None) -> Callable[[], None]:
    device = pipeline.labels.device
    rows = torch.arange(images, device=device)
    generator = torch.Generator().manual_seed(0)

    def run() -> None:
        draws = pipeline.draw(images, generator).to(device)
        for start in range(0, images, _BATCH):
            part = slice(start, start + _BATCH)
            pixels = pipeline.pixels(rows[part], draws[part])
            if single is not None:
                pixels = torch.stack([single(image) for image in pixels])
            pipeline.normalise(pixels)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return run


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    found = rates(given.size, given.images, given.rounds)
    base = found["crop-flip alone"][0]
    print(header("benchmarks.augmentation", "torch", "torchvision"))
    print(f"| {given.size} x {given.size}, batches of {_BATCH} | ours | ratio | one by one | ratio |")
    print("|---|---|---|---|---|")
    for name, (ours, single) in found.items():
        other = "- | -" if single is None else f"{single:,.0f} | {ours / single:.1f}"
        print(f"| {name} | {ours:,.0f} | {ours / base:.2f} | {other} |")


if __name__ == "__main__":
    main()
