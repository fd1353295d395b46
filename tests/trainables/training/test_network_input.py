"""Size of the network's input, and refusals of settings that do not fit the images."""

from __future__ import annotations

from typing import Any

import pytest

from trainables.core.config import ModelConfig, TrainingConfig
from trainables.core.errors import BadInput
from trainables.training.network_input import network_input

PHOTO, VECTOR = (3, 64, 64), (300, 1, 1)


def shape_of(image_shape: tuple[int, int, int] = PHOTO, model: str = "resnet20", **training: Any) -> tuple[int, ...]:
    return network_input(ModelConfig(name=model), TrainingConfig(**training), "photos", image_shape)


def test_the_crop_is_what_the_network_gets() -> None:
    assert shape_of() == PHOTO
    assert shape_of(crop_size=56) == (3, 56, 56)
    assert shape_of(test_crop_size=56) == PHOTO
    assert shape_of(crop_size=70, crop_padding=4, test_crop_size=64, augmentation="crop") == (3, 70, 70)
    assert shape_of((1, 28, 20), crop_size=20) == (1, 20, 20)


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({"crop_size": 65}, "`crop_size` must be at most 64 pixels for the images of photos"),
        ({"crop_size": 70, "crop_padding": 4, "augmentation": "crop"}, "`crop_size` must be at most 64 pixels"),
        ({"test_crop_size": 65}, "`test_crop_size` must be at most 64 pixels"),
        ({"test_crop_size": 7}, "`test_crop_size` must be at least 8 pixels, got 7"),
        ({"crop_padding": 2, "augmentation": "flip"}, "`crop_padding` needs a random crop, got augmentation flip"),
        ({"cutout": 65}, "`cutout` must be at most 64 pixels, the size of the images, got 65"),
        ({"cutout": 40, "crop_size": 32}, "`cutout` must be at most 32 pixels, the size of the images, got 40"),
        ({"test_crop_size": 32, "model": "conv-tiny"}, "must equal the training size 64 for conv-tiny, got 32"),
    ],
)
def test_what_does_not_fit_is_refused(training: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        shape_of(**training)


@pytest.mark.parametrize(
    "training",
    [
        {"brightness": 0.1},
        {"contrast": 0.1},
        {"auto_augment": "rand"},
        {"cutout": 1},
        {"crop_size": 1},
        {"test_crop_size": 1},
        {"input_scaling": "symmetric"},
    ],
)
def test_vectors_have_no_image_settings(training: dict[str, Any]) -> None:
    name, value = next(iter(training.items()))
    with pytest.raises(BadInput, match=f"`{name}` {value} needs images, but photos holds vectors; omit it"):
        shape_of(VECTOR, "mlp", **training)
