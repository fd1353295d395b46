"""Compare images per second of our training loop in float32 and in bfloat16: same network, images and batches.

Every round trains one epoch in each precision, in one process. The ratio is the median over the rounds; rounds that
other processes disturbed are repeated. Where the device does not multiply bfloat16 natively, torch emulates it.
"""

from __future__ import annotations

import argparse
import statistics
from functools import partial

import torch

from benchmarks.machine import header
from benchmarks.training_loop import CASES, GPU_CASES, Case, Epoch, first_images, load_images, measure, our_loop
from trainables.core.device import device_name, multiplies_bfloat16
from trainables.data import StudyData
from trainables.training.trainer import Trainer

PRECISIONS = ("float32", "bfloat16")


def loops_of(case: Case, data: StudyData, device: torch.device) -> dict[str, Epoch]:
    """Return precision -> our training loop in it."""
    trainers = {name: our_loop(case, data, name, device, compiled=False) for name in PRECISIONS}
    return {name: partial(_epoch, trainer) for name, trainer in trainers.items()}


def _epoch(trainer: Trainer) -> float:
    return float(trainer.run_epoch()["images_per_second"])


def speedup(speeds: dict[str, list[float]]) -> float:
    """Return the median over rounds of bfloat16's speed divided by float32's."""
    return statistics.median(b / a for a, b in zip(speeds["float32"], speeds["bfloat16"], strict=True))


def main() -> None:
    """Compare the precisions on every case and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs in each precision")
    parser.add_argument("--network", help="this network's cases only")
    parser.add_argument("--dataset", help="instead of MNIST and CIFAR-10; must be of their size or digits")
    parser.add_argument("--images", type=int, help="images in an epoch")
    given = parser.parse_args()
    device = torch.device(given.device)
    print(header("benchmarks.precision", "torch"))
    native = "native" if multiplies_bfloat16(device) else "emulated"
    print(f"device:  {device_name(device)}; {torch.get_num_threads()} threads; bfloat16 is {native}", flush=True)
    for case in GPU_CASES if device.type == "cuda" else CASES:
        if given.network not in (None, case.network):
            continue
        data, name = load_images(given.dataset or case.dataset)
        data = first_images(data, given.images or case.images)
        speeds, disturbed = measure(loops_of(case, data, device), given.rounds)
        print(
            f"{case.network}, {name}, augmentation {case.augmentation}, batches of {case.batch_size}: "
            f"float32 {statistics.median(speeds['float32']):,.0f} images/s, "
            f"bfloat16 {statistics.median(speeds['bfloat16']):,.0f} images/s, ratio {speedup(speeds):.2f} "
            f"(others took at most {disturbed:.0%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
