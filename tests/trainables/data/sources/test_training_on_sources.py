"""One tiny training from every kind of source, with profile and label noise, and its test split at the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.data.written_sets import (
    write_celeba,
    write_class_folders,
    write_lists,
    write_tiny_imagenet,
    write_vector_folder,
)
from trainables.backbones import MODELS
from trainables.core.config import TrialConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.training.trainer import Trainer


def trainer(folder: Path, model: str, augmentation: str = "auto", **data: Any) -> Trainer:
    config = TrialConfig.model_validate(
        {
            "data": {
                "dataset": folder.name,
                "data_dir": str(folder.parent),
                "profile": {"kind": "long_tail", "ratio": 3},
                **data,
            },
            "model": {"name": model},
            "method": {"name": "erm"},
            "training": {
                "epochs": 8,
                "batch_size": 8,
                "lr": 0.05,
                "precision": "float32",
                "augmentation": augmentation,
            },
        }
    )
    return Trainer(config, load(config.data))


def trained(*arguments: Any, **changes: Any) -> float:
    training = trainer(*arguments, **changes)
    while not training.finished:
        record = training.run_epoch()
    assert math.isfinite(record["loss"])
    confusion = training.evaluate(training.data.test()).confusion
    return float(confusion.diag().sum() / confusion.sum())


@pytest.mark.parametrize(
    ("write", "model", "data"),
    [
        (write_class_folders, "conv-tiny", {"label_noise": 0.1}),
        (write_tiny_imagenet, "resnet20", {}),
        (write_lists, "mlp", {"protocol": "published"}),
        (write_celeba, "resnet20", {"image_size": 16, "protocol": "published"}),
        (write_celeba, "resnet20", {}),
        (write_vector_folder, "mlp", {"label_noise": 0.1}),
        (write_vector_folder, "mlp-2-layer", {"protocol": "m2m"}),
    ],
    ids=["folders", "tiny-imagenet", "lists", "celeba", "celeba not square", "vectors", "vectors, two layers"],
)
def test_every_source_trains(tmp_path: Path, write: Callable[[Path], Path], model: str, data: dict[str, Any]) -> None:
    accuracy = trained(write(tmp_path / "data" / "made"), model, **data)
    assert 0 <= accuracy <= 1
    if write is write_vector_folder:  # classes lie ten deviations apart
        assert accuracy > 0.9


def test_vectors_need_a_perceptron(tmp_path: Path) -> None:
    folder = write_vector_folder(tmp_path / "data" / "texts")
    with pytest.raises(BadInput, match="at least 8 pixels, got 1; feature vectors need one of: mlp, mlp-2-layer"):
        trainer(folder, "resnet32")
    with pytest.raises(BadInput, match="`augmentation` crop needs images"):
        trainer(folder, "mlp", augmentation="crop")
    assert "mlp-2-layer" in MODELS


def test_images_that_are_not_square_need_a_network_that_takes_them(tmp_path: Path) -> None:
    folder = write_celeba(tmp_path / "data" / "celeba")
    with pytest.raises(BadInput, match="mlp needs square images, got 24 x 18 pixels"):
        trainer(folder, "mlp")
