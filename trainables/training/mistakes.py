"""The most confident mistakes of a network, class by class, for a gallery."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from trainables.core.trial_folder import ArrayFile
from trainables.data import Split
from trainables.training.balanced_sample import pictured_classes
from trainables.training.trainer import Trainer

Ints = npt.NDArray[np.int64]

PER_CLASS = 8
"""Mistakes of a class in the gallery; with the cap on classes, a gallery has at most 160 images."""
LONGEST_SIDE = 64
"""Pixels; larger images are scaled down."""


def mistakes(trainer: Trainer, split: Split) -> ArrayFile | None:
    """Return the most confident mistakes on a split, or None for data that are no images of 1 or 3 channels.

    Args:
        trainer: a finished training.
        split: validation or test images, in memory or in their file.

    Returns:
        ``images`` uint8 (n, C, h, w), sides at most 64; ``rows`` (n,) of the split; ``labels``, ``predicted`` and
        ``confidence`` (n,), the softmax probability of the prediction. The images stand class by class, from the
        least frequent in training to the most, most confident first. ``classes`` (m,) are the classes shown, in that
        order, ``wrong`` and ``total`` (m,) their numbers of mistakes and of images.
    """
    if split.images.dtype != torch.uint8 or split.images.shape[1] not in (1, 3):
        return None
    confidence, predicted = (found.numpy() for found in trainer.outputs(split).logits.float().softmax(dim=1).max(dim=1))
    labels = split.labels.numpy()
    classes = pictured_classes(trainer.data.class_counts.numpy())[::-1].copy()
    rows = [most_confident(np.flatnonzero((labels == k) & (predicted != k)), confidence) for k in classes]
    chosen = np.concatenate(rows)
    return {
        "images": _small(split.take(torch.from_numpy(chosen)).images),
        "rows": chosen,
        "labels": labels[chosen],
        "predicted": predicted[chosen],
        "confidence": confidence[chosen],
        "classes": classes,
        "wrong": np.array([((labels == k) & (predicted != k)).sum() for k in classes]),
        "total": np.array([(labels == k).sum() for k in classes]),
    }


def most_confident(rows: Ints, confidence: npt.NDArray[np.float32], most: int = PER_CLASS) -> Ints:
    """Return at most ``most`` of the rows, by falling confidence; ties keep the rows' order."""
    return rows[np.argsort(-confidence[rows], kind="stable")][:most]


def _small(images: Tensor) -> npt.NDArray[np.uint8]:
    """Scale images (n, C, h, w) down until no side is longer than `LONGEST_SIDE`; never up."""
    pixels: npt.NDArray[np.uint8] = images.numpy()
    height, width = pixels.shape[2:]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1 or len(pixels) == 0:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    channels = [
        [np.asarray(Image.fromarray(channel).resize(size, Image.Resampling.BOX)) for channel in image]
        for image in pixels
    ]
    return np.array(channels, dtype=np.uint8)
