"""Measure the networks of the papers on one core: python -m benchmarks.paper_rates > FILE.

`studies/papers/seconds-per-image.csv` is such a file. The seconds are processor time of a step (forward, backward,
SGD) divided by its images, so that other work on the machine hardly counts. `study reproduce` estimates hours with
them where no trial is recorded.
"""

from __future__ import annotations

import platform
import sys
import time
from datetime import date

import torch

from trainables.backbones import build_backbone

NETWORKS = (
    ("affinity-conv", 28, 1, 64),
    ("conv-tiny", 32, 3, 64),
    ("resnet32", 32, 3, 32),
    ("preact-resnet18", 32, 3, 8),
    ("resnet34", 32, 3, 8),
    ("resnet34", 28, 1, 8),
    ("resnet34", 64, 3, 4),
    ("resnet50", 32, 3, 8),
    ("resnet101", 32, 3, 4),
    ("resnext50_32x4d", 32, 3, 8),
    ("densenet121", 32, 3, 8),
    ("squeezenet1_0", 32, 3, 8),
    ("efficientnet_b0", 32, 3, 8),
    ("efficientnet_b1", 32, 3, 8),
    ("efficientnet_b7", 32, 3, 4),
    ("resnet18", 224, 3, 4),
    ("resnet10", 224, 3, 4),
    ("resnet50", 224, 3, 2),
    ("resnet152", 224, 3, 2),
    ("resnext50_32x4d", 224, 3, 2),
    ("resnext152_32x4d", 224, 3, 2),
)
"""Network, height and width in pixels, channels, images of the measured step."""


def seconds_per_image(network: str, size: int, channels: int, images: int) -> float:
    """Return the processor seconds of one training step per image, on one core, after a step to warm up."""
    torch.manual_seed(0)
    backbone = build_backbone(network, channels, size)
    head = torch.nn.Linear(backbone.feature_dim, 10)
    net = torch.nn.Sequential(backbone, head).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    pixels = torch.randn(images, channels, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (images,))
    for _ in range(2):
        begun = time.process_time()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(pixels), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        spent = time.process_time() - begun
    return spent / images


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    about = f"{platform.machine()}, torch {torch.__version__}, float32, {date.today()}"
    print(f"# one core, {about}: benchmarks/paper_rates.py")
    print("network,image_size,channels,seconds")
    for network, size, channels, images in NETWORKS:
        print(f"{network},{size},{channels},{seconds_per_image(network, size, channels, images):.3g}", flush=True)
        print(network, size, file=sys.stderr)


if __name__ == "__main__":
    main()
