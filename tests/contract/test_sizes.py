"""Every method trains at the edges of what a data set can be: many classes, one image in a class, a batch of one."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trainables.core.config import TrialConfig
from trainables.data.splits import Split, StudyData
from trainables.methods.registry import METHODS
from trainables.testing import small_network
from trainables.training.trainer import Trainer

# the long tests train the presets as well
EVERY_PRESET = [
    pytest.param(name, preset, marks=() if preset == "recommended" else pytest.mark.slow)
    for name in METHODS
    for preset in METHODS[name].preset_names()
]


def _data(counts: Tensor) -> StudyData:
    """Return random 8x8 images with ``counts`` training images of each class and one validation image of each."""
    generator = torch.Generator().manual_seed(0)

    def split(labels: Tensor) -> Split:
        images = torch.randint(0, 256, (len(labels), 1, 8, 8), dtype=torch.uint8, generator=generator)
        return Split(images, labels)

    classes = torch.arange(len(counts))
    validation = split(classes)
    return StudyData(
        train=split(classes.repeat_interleave(counts)),
        validation=validation,
        class_counts=counts,
        class_names=tuple(str(label) for label in classes.tolist()),
        mean=(0.5,),
        std=(0.25,),
        fingerprint="synthetic",
        read_test=lambda: validation,
    )


def _finite(name: str, preset: str, counts: Tensor, batch_size: int) -> None:
    config = TrialConfig.model_validate(
        {
            "data": {"dataset": "digits"},
            "model": {"name": small_network(name)},
            "method": {"name": name, "preset": preset},
            "training": {"epochs": 3, "batch_size": batch_size, "lr": 0.01, "augmentation": "none"},
        }
    )
    trainer = Trainer(config, _data(counts), torch.device("cpu"))
    while not trainer.finished:
        result = trainer.run_epoch()
        assert math.isfinite(result["train_loss"])
        assert math.isfinite(result["loss"])
        assert 0 <= result["balanced_accuracy"] <= 1
    assert all(torch.isfinite(value).all() for value in trainer.network.state_dict().values())


@pytest.mark.parametrize(("name", "preset"), EVERY_PRESET)
def test_trains_with_a_thousand_classes_of_one_or_two_images(name: str, preset: str) -> None:
    _finite(name, preset, torch.tensor([2] * 201 + [1] * 799), batch_size=300)  # four batches and one of one image


@pytest.mark.parametrize(("name", "preset"), EVERY_PRESET)
def test_trains_in_batches_of_one_image(name: str, preset: str) -> None:
    _finite(name, preset, torch.tensor([9, 4, 2, 1]), batch_size=1)
