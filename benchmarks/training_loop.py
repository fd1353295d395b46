"""Compare images per second of our training loop with a conventional one: same network, images, batches, optimizer.

In every round each loop trains one epoch, all in one process. The ratio of two loops is the median over the rounds.
Rounds that other processes disturbed are repeated. The first epoch of every loop, in which the conventional loop starts
its workers, is not timed. Our time covers training only, as in its results; the conventional loop does not validate.
Both use every core. Our loop keeps freed memory, which helps the conventional loop too because it runs in the same
process.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.conventional import ConventionalLoop
from benchmarks.machine import Neighbours, header
from trainables.core.config import DataConfig, TrialConfig
from trainables.core.device import device_name
from trainables.core.errors import BadInput
from trainables.data import Augmentation, Split, StudyData, load
from trainables.training.trainer import Trainer

_VALIDATION_IMAGES = 32
_LR = 0.01
_DISTURBED = 0.1


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        images: images per epoch, chosen so that an epoch of either loop takes a few seconds on two cores.
        required: ratio of ours to the conventional loop that must be reached on two cores.
    """

    network: str
    dataset: str
    augmentation: Augmentation
    batch_size: int
    images: int
    required: float | None


CASES = (
    Case("conv-tiny", "mnist", "none", 128, 12_800, 4.0),
    Case("conv-tiny", "mnist", "crop", 128, 12_800, 4.0),
    Case("affinity-conv", "mnist", "none", 128, 2_560, 1.25),
    Case("affinity-conv", "mnist", "crop", 128, 2_560, 1.25),
    Case("resnet32", "cifar10", "crop-flip", 128, 1_024, 1.0),
)
GPU_CASES = (Case("resnet32", "cifar10", "crop-flip", 128, 45_000, 10.0),)


def first_images(data: StudyData, count: int) -> StudyData:
    """Reduce a data set to its first ``count`` training images in a fixed random order."""
    chosen = torch.randperm(len(data.train.labels), generator=torch.Generator().manual_seed(0))[:count]
    images, labels = data.train.images[chosen].contiguous(), data.train.labels[chosen]
    few = slice(0, _VALIDATION_IMAGES)
    return replace(
        data,
        train=Split(images, labels),
        validation=Split(data.validation.images[few], data.validation.labels[few]),
        class_counts=labels.bincount(minlength=len(data.class_names)),
    )


def _enlarged_digits(channels: int, size: int) -> StudyData:
    data = load(DataConfig.model_validate({"dataset": "digits", "profile": {"kind": "natural"}}))

    def enlarge(split: Split) -> Split:
        images = F.interpolate(split.images, size=(size, size), mode="nearest")
        return Split(images.expand(-1, channels, -1, -1), split.labels)

    return replace(
        data,
        train=enlarge(data.train),
        validation=enlarge(data.validation),
        mean=data.mean * channels,
        std=data.std * channels,
    )


def load_images(dataset: str) -> tuple[StudyData, str]:
    """Return a data set and its name; if unavailable, digits enlarged to its size, named accordingly."""
    try:
        return load(DataConfig.model_validate({"dataset": dataset, "profile": {"kind": "natural"}})), dataset
    except BadInput as error:
        print(f"{dataset} cannot be had ({error}); digits, enlarged, are taken in its place")
        return _enlarged_digits(*((1, 28) if dataset == "mnist" else (3, 32))), "digits, enlarged"


def our_loop(case: Case, data: StudyData, precision: str, device: torch.device, compiled: bool) -> Trainer:
    """Build our loop as a trial does; its result holds the images per second."""
    training = {
        "epochs": 1_000_000,
        "batch_size": case.batch_size,
        "lr": _LR,
        "schedule": {"kind": "constant", "warmup": 0},
        "augmentation": case.augmentation,
        "precision": precision,
        "compile": compiled,
    }
    trial = {
        "data": {"dataset": case.dataset, "profile": {"kind": "natural"}},
        "model": {"name": case.network},
        "method": {"name": "erm"},
        "training": training,
    }
    return Trainer(TrialConfig.model_validate(trial), data, device)


def conventional_loop(case: Case, data: StudyData, workers: int, device: torch.device) -> ConventionalLoop:
    """Build the conventional loop around a network of the same architecture."""
    trainer = our_loop(case, data, "float32", torch.device("cpu"), compiled=False)
    network = nn.Sequential(trainer.network.backbone, trainer.network.head).to(memory_format=torch.contiguous_format)
    return ConventionalLoop(
        network,
        data,
        augmentation=case.augmentation,
        batch_size=case.batch_size,
        lr=_LR,
        workers=workers,
        device=device,
    )


Epoch = Callable[[], float]
"""Trains one epoch and returns images per second."""


def _our_epoch(trainer: Trainer) -> float:
    return float(trainer.run_epoch()["images_per_second"])


def loops_of(case: Case, data: StudyData, workers: list[int], device: torch.device, compiled: bool) -> dict[str, Epoch]:
    """Build all loops of a comparison by display name; ours at its default precision comes first."""
    loops: dict[str, Epoch] = {}
    for precision in ("auto", "float32"):
        trainer = our_loop(case, data, precision, device, compiled)
        used = str(trainer.network.autocast or torch.float32).removeprefix("torch.")
        if f"ours, {used}" not in loops:
            loops[f"ours, {used}"] = partial(_our_epoch, trainer)
    for count in workers:
        loops[f"conventional, float32, {count} workers"] = conventional_loop(case, data, count, device).run_epoch
    return loops


def measure(loops: dict[str, Epoch], rounds: int) -> tuple[dict[str, list[float]], float]:
    """Train one epoch of every loop per round.

    Rounds in which other processes used more than a tenth of the machine are repeated, up to twice the requested
    number in total. The least disturbed rounds count.

    Returns:
        Images per second of every loop in the counted rounds, and the largest share that others used in them.
    """
    for epoch in loops.values():
        epoch()
    found: list[tuple[float, dict[str, float]]] = []
    neighbours = Neighbours()
    while len(found) < 2 * rounds and sum(share < _DISTURBED for share, _ in found) < rounds:
        speeds = {name: epoch() for name, epoch in loops.items()}
        found.append((neighbours.share(), speeds))
    calmest = sorted(found, key=lambda pair: pair[0])[:rounds]
    return {name: [speeds[name] for _, speeds in calmest] for name in loops}, calmest[-1][0]


def report(case: Case, speeds: dict[str, list[float]]) -> str:
    """Format every loop's speed and the ratios of ours; the required ratio applies to our default precision."""
    lines = [f"  {name:<38} {statistics.median(found):>9,.0f} images/s" for name, found in speeds.items()]
    own = [name for name in speeds if name.startswith("ours")]
    for other in (name for name in speeds if name not in own):
        for name in own:
            ratio = statistics.median(a / b for a, b in zip(speeds[name], speeds[other], strict=True))
            required = f"  (required: {case.required:g})" if name == own[0] and case.required else ""
            lines.append(f"  {name} / {other}: {ratio:.2f}{required}")
    return "\n".join(lines)


def compare(case: Case, given: argparse.Namespace) -> None:
    """Measure one case and print the result."""
    device = torch.device(given.device)
    data, name = load_images(given.dataset or case.dataset)
    data = first_images(data, given.images or case.images)
    shape = "x".join(str(size) for size in data.train.images.shape[1:])
    print(
        f"\n{case.network}, {name} {shape}, augmentation {case.augmentation}, batches of {case.batch_size}, "
        f"epochs of {len(data.train.labels)} images",
        flush=True,
    )
    loops = loops_of(case, data, given.workers or ([8] if device.type == "cuda" else [2]), device, given.compile)
    speeds, disturbed = measure(loops, given.rounds)
    print(f"{report(case, speeds)}\n  other processes took at most {disturbed:.0%} of the machine", flush=True)


def main() -> None:
    """Compare the loops on every case and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, nargs="+", help="workers of a DataLoader (2; 8 with a GPU), or several")
    parser.add_argument("--rounds", type=int, default=9, help="timed epochs of every loop")
    parser.add_argument("--network", help="this network's cases only")
    parser.add_argument("--dataset", help="instead of MNIST and CIFAR-10; must be of their size or digits")
    parser.add_argument("--images", type=int, help="images in an epoch")
    parser.add_argument("--compile", action="store_true", help="our loop compiles the network")
    given = parser.parse_args()
    print(header("benchmarks.training_loop", "torch", "torchvision"))
    device = torch.device(given.device)
    print(f"device:  {device_name(device)}; {torch.get_num_threads()} threads", flush=True)
    for case in GPU_CASES if device.type == "cuda" else CASES:
        if given.network in (None, case.network):
            compare(case, given)


if __name__ == "__main__":
    main()
