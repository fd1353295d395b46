"""Measure the cost of an epoch of M2m's deferred stage against ERM and against algorithm 1 image by image.

All loops train the same network on the same long-tailed images in one process. They take turns, one epoch each per
round. Ratios are medians over the rounds of seconds per training image. The image-by-image loop is a direct
transcription of the paper's algorithm. It shares only the images and the networks' build with our method, and visits
fewer images because it is slow. beta is chosen so that the acceptance draw refuses hardly any site, as on CIFAR with
its thousands of images. Our method draws acceptance before it translates, and would otherwise gain from that as well.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.machine import Neighbours, header
from benchmarks.training_loop import load_images
from trainables.components.network import Network
from trainables.core.config import TrialConfig
from trainables.core.device import device_name
from trainables.data import Split, StudyData
from trainables.training.trainer import Trainer

_LR = 0.01
_BETA, _LAM, _GAMMA, _STEPS, _ETA, _NOISE = 0.9, 0.5, 0.9, 10, 0.1, 0.08
_VALIDATION_IMAGES = 32


def long_tailed(data: StudyData, images: int, ratio: float) -> StudyData:
    """Keep about ``images`` training images with n_k = n_0 ratio^(-k/(K-1)), as far as classes have them."""
    classes = len(data.class_names)
    shares = [ratio ** (-k / (classes - 1)) for k in range(classes)]
    largest = images / sum(shares)
    kept = torch.cat(
        [
            (data.train.labels == k).nonzero().squeeze(1)[: max(1, round(largest * share))]
            for k, share in enumerate(shares)
        ]
    )
    labels, few = data.train.labels[kept], slice(0, _VALIDATION_IMAGES)
    return replace(
        data,
        train=Split(data.train.images[kept].contiguous(), labels),
        validation=Split(data.validation.images[few], data.validation.labels[few]),
        class_counts=labels.bincount(minlength=classes),
    )


def our_loop(
    method: dict[str, object], data: StudyData, given: argparse.Namespace, reference: Trainer | None
) -> Trainer:
    """Build our loop as a trial does, in float32 and without augmentation."""
    training = {
        "epochs": 1_000_000,
        "batch_size": given.batch_size,
        "lr": _LR,
        "schedule": {"kind": "constant", "warmup": 0},
        "augmentation": "none",
        "precision": "float32",
    }
    trial = {
        "data": {"dataset": given.dataset, "profile": {"kind": "natural"}},
        "model": {"name": given.network},
        "method": method,
        "training": training,
    }

    def frozen(_: TrialConfig) -> Network:
        assert reference is not None
        return copy.deepcopy(reference.network).requires_grad_(False).eval()

    return Trainer(TrialConfig.model_validate(trial), data, torch.device(given.device), frozen)


class ImageByImage:
    """M2m's deferred stage as in algorithm 1, one image at a time.

    Args:
        f: the network in training; returns logits (B, K) of normalised images.
        g: the reference network, with the same interface.
        data: the long-tailed images.
        batch_size: size of the class-balanced batches.
        images: number of images per epoch.
        device: where both networks run.
    """

    def __init__(
        self, f: nn.Module, g: nn.Module, data: StudyData, batch_size: int, images: int, device: torch.device
    ) -> None:
        self.f, self.g, self.batch_size, self.images = f.to(device), g.to(device).eval(), batch_size, images
        self.pixels, self.labels = (data.train.images.float() / 255).to(device), data.train.labels
        self.counts = data.class_counts.tolist()
        self.mean, self.std = (torch.tensor(v, device=device).view(1, -1, 1, 1) for v in (data.mean, data.std))
        self.weights = 1 / data.class_counts.double()[self.labels]
        self.optimizer = torch.optim.SGD(f.parameters(), lr=_LR, momentum=0.9, weight_decay=2e-4)
        self.translated = 0

    def run_epoch(self) -> float:
        """Train on `images` images and return the seconds per image."""
        began = time.perf_counter()
        for start in range(0, self.images, self.batch_size):
            rows = torch.multinomial(self.weights, min(self.batch_size, self.images - start), replacement=True)
            labels = self.labels[rows].tolist()
            batch = self._over_sampled(self.pixels[rows], labels)
            self.f.train()
            self.optimizer.zero_grad()
            F.cross_entropy(self.f(self._normal(batch)), torch.tensor(labels, device=batch.device)).backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
        return (time.perf_counter() - began) / self.images

    def _over_sampled(self, batch: Tensor, labels: list[int]) -> Tensor:
        made = batch.clone()
        self.f.eval()
        for i, k in enumerate(labels):
            if torch.rand(()).item() < 1 - self.counts[k] / max(self.counts):
                found = self._generated(batch, labels, k)
                if found is not None:
                    made[i] = found[0]
        return made

    def _generated(self, batch: Tensor, labels: list[int], k: int) -> Tensor | None:
        accept = [1 - _BETA ** max(n - self.counts[k], 0) for n in self.counts]  # eqs 3 and 5
        if not any(accept[label] > 0 for label in labels):
            return None
        k0 = -1
        while k0 not in labels:
            k0 = int(torch.multinomial(torch.tensor(accept), 1))
        standing = [j for j, label in enumerate(labels) if label == k0]
        x = batch[standing[int(torch.randint(len(standing), ()))]].unsqueeze(0)
        noise = torch.rand_like(x) - 0.5
        x = (x + _NOISE * noise / noise.norm()).clamp(0, 1)
        target = torch.tensor([k], device=x.device)
        for _ in range(_STEPS):
            x = x.detach().requires_grad_()
            normal = self._normal(x)
            loss = F.cross_entropy(self.g(normal), target) + _LAM * self.f(normal)[0, k0]
            (gradient,) = torch.autograd.grad(loss, x)
            x = (x - _ETA * gradient / (gradient.norm() + 1e-12)).clamp(0, 1).detach()
        self.translated += 1
        with torch.no_grad():
            confident = math.exp(-F.cross_entropy(self.g(self._normal(x)), target).item()) >= _GAMMA
        return x if confident and torch.rand(()).item() < accept[k0] else None

    def _normal(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std


Epoch = Callable[[], float]
"""Trains one epoch and returns seconds per training image."""


def _ours(trainer: Trainer) -> Epoch:
    return lambda: 1 / float(trainer.run_epoch()["images_per_second"])


def _conventional(trainer: Trainer) -> nn.Module:
    network = nn.Sequential(copy.deepcopy(trainer.network.backbone), copy.deepcopy(trainer.network.head))
    return network.to(memory_format=torch.contiguous_format)


def loops_of(data: StudyData, given: argparse.Namespace) -> dict[str, Epoch]:
    """Build all loops by display name, from one reference that is trained for some epochs first."""
    reference = our_loop({"name": "erm"}, data, given, None)
    for _ in range(given.reference_epochs):
        reference.run_epoch()
    values = {"beta": _BETA, "lam": _LAM, "gamma": _GAMMA, "steps": _STEPS, "step_size": _ETA, "noise": _NOISE}
    m2m = our_loop({"name": "m2m", "preset": "rs", "params": values}, data, given, reference)
    f, g, images = _conventional(reference), _conventional(reference), min(given.direct_images, len(data.train.labels))
    direct = ImageByImage(f, g, data, given.batch_size, images, torch.device(given.device))
    erm = our_loop({"name": "erm"}, data, given, None)
    return {"ERM": _ours(erm), "M2m, deferred stage": _ours(m2m), "algorithm 1, image by image": direct.run_epoch}


def report(seconds: dict[str, list[float]]) -> str:
    """Format the cost per image of every loop, and the two ratios."""
    lines = [f"  {name:<28} {1e3 * statistics.median(found):>9.3f} ms an image" for name, found in seconds.items()]
    erm, m2m, direct = seconds.values()
    for name, above, below in (("M2m / ERM", m2m, erm), ("image by image / M2m", direct, m2m)):
        ratio = statistics.median(a / b for a, b in zip(above, below, strict=True))
        lines.append(f"  {name}: {ratio:.1f}")
    return "\n".join(lines)


def main() -> None:
    """Compare the loops and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dataset", default="mnist", help="where it cannot be had, digits enlarged to its size")
    parser.add_argument("--network", default="conv-tiny")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--images", type=int, default=1280, help="training images, about")
    parser.add_argument("--ratio", type=float, default=100)
    parser.add_argument("--direct-images", type=int, default=128, help="that an image-by-image epoch visits")
    parser.add_argument("--reference-epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5, help="timed epochs of every loop")
    given = parser.parse_args()
    print(header("benchmarks.m2m_translation", "torch"))
    data, name = load_images(given.dataset)
    data = long_tailed(data, given.images, given.ratio)
    shape, counts = "x".join(map(str, data.train.images.shape[1:])), data.class_counts.tolist()
    print(f"device:  {device_name(torch.device(given.device))}; {torch.get_num_threads()} threads")
    print(f"\n{given.network}, {name} {shape}, batches of {given.batch_size}, images a class {counts}", flush=True)
    loops = loops_of(data, given)
    for epoch in loops.values():
        epoch()
    neighbours, seconds = Neighbours(), {loop: list[float]() for loop in loops}
    for _ in range(given.rounds):
        for loop, epoch in loops.items():
            seconds[loop].append(epoch())
    print(f"{report(seconds)}\n  other processes took {neighbours.share():.0%} of the machine", flush=True)


if __name__ == "__main__":
    main()
