"""A short timed training: seconds per epoch and the size of a checkpoint."""

from __future__ import annotations

import io
from dataclasses import replace

import torch

from trainables.core.config import MethodConfig, TrialConfig
from trainables.core.device import pick_device
from trainables.data import Split, load, prepare
from trainables.training.checkpoints import KEPT
from trainables.training.trainer import Trainer

_IMAGES = 1024
"""Largest number of images of the timed epoch."""


def measured_rate(config: TrialConfig, threads: int) -> tuple[float, int]:
    """Train ERM for two epochs on at most 1,024 images and time the second.

    Args:
        config: the training; its method is replaced by ERM.
        threads: CPU threads of the training.

    Returns:
        Seconds per epoch of all training images, without validation, and bytes of a trial's checkpoints.

    Raises:
        BadInput: the data cannot be had.
    """
    torch.set_num_threads(threads)
    prepare(config.data)
    data = load(config.data)
    count = len(data.train.labels)
    chosen = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:_IMAGES]
    labels = data.train.labels[chosen]
    rows = chosen if data.train.rows is None else data.train.rows[chosen]
    few = Split(data.train.images[rows], labels)
    counts = labels.bincount(minlength=len(data.class_names)).clamp(min=1)
    trainer = Trainer(
        config.model_copy(
            update={
                "method": MethodConfig(name="erm"),
                "training": config.training.model_copy(update={"epochs": max(2, config.training.epochs)}),
            }
        ),
        replace(data, train=few, validation=Split(few.images[:2], few.labels[:2]), class_counts=counts),
        pick_device(),
    )
    trainer.run_epoch()
    speed = float(trainer.run_epoch()["images_per_second"])
    buffer = io.BytesIO()
    torch.save(trainer.state(), buffer)
    return count / speed, KEPT * len(buffer.getvalue())
