"""A conventional training loop: Dataset, DataLoader, per-image transforms, and the loss read at every step."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from trainables.data import Augmentation, StudyData


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """Images in memory, converted to PIL and transformed one by one, as torchvision's data sets do."""

    def __init__(self, images: npt.NDArray[np.uint8], labels: list[int], transform: transforms.Compose) -> None:
        """Store images (N, H, W) or (N, H, W, 3) and labels."""
        self.images, self.labels, self.transform = images, labels, transform

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return one transformed image (C, H, W) and its label."""
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def transform_for(data: StudyData, augmentation: Augmentation) -> transforms.Compose:
    """Return torchvision's per-image transforms for an augmentation: crop with padding 4 and flip, as in the papers."""
    steps: list[nn.Module | object] = []
    if augmentation != "none":
        steps.append(transforms.RandomCrop(data.train.images.shape[-1], padding=4))
    if augmentation == "crop-flip":
        steps.append(transforms.RandomHorizontalFlip())
    return transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(data.mean, data.std)])


class ConventionalLoop:
    """Trains a network in float32 with torch's default memory layout.

    The workers are persistent. They start in the first epoch, which is never timed. Later epochs cost as much as in a
    long training, including the wait for the first batches.
    """

    def __init__(
        self,
        network: nn.Module,
        data: StudyData,
        *,
        augmentation: Augmentation,
        batch_size: int,
        lr: float,
        workers: int,
        device: torch.device,
    ) -> None:
        """Build loader and optimizer; ``network`` returns logits (B, K)."""
        pixels = data.train.images.permute(0, 2, 3, 1).contiguous().numpy()
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        dataset = ImageDataset(pixels, data.train.labels.tolist(), transform_for(data, augmentation))
        self.loader = DataLoader(
            dataset,
            batch_size,
            shuffle=True,
            num_workers=workers,
            pin_memory=device.type == "cuda",
            persistent_workers=workers > 0,
        )
        self.network, self.device = network.to(device), device
        self.optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=2e-4)

    def run_epoch(self) -> float:
        """Train one epoch and return images per second."""
        began, total, seen = time.perf_counter(), 0.0, 0
        self.network.train()
        for images, labels in self.loader:
            images = images.to(self.device, non_blocking=True)
            labels = labels.to(self.device, non_blocking=True)
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item() * len(labels)
            seen += len(labels)
        return seen / (time.perf_counter() - began)
