"""Scaling and cropping while decoding: torchvision's numbers, for every kind of source."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from torchvision.transforms import functional as reference

from tests.trainables.data.made_images import encode, write_folder, write_split
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import load, prepare
from trainables.data.sources import image_decoding
from trainables.data.sources.image_decoding import decode_image
from trainables.data.sources.parquet_folder import ParquetFolder
from trainables.data.sources.resized import Resized
from trainables.data.sources.source_lookup import find_source

NATURAL = {"kind": "natural"}


def random_image(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    shape = (height, width, 3) if channels == 3 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(1, 50))
def test_pixels_are_torchvisions(height: int, width: int, channels: int, size: int) -> None:
    image = random_image(height, width, channels)
    resized = reference.resize(Image.fromarray(image), [size])
    expected = np.asarray(reference.center_crop(resized, [size, size]))
    assert (decode_image(encode(image), size) == expected).all()


def test_palettes_and_transparency_are_left_behind_before_scaling() -> None:
    colours = Image.fromarray(random_image(20, 30, 3))
    for mode in ("P", "RGBA"):
        file = io.BytesIO()
        converted = colours.convert(mode)
        converted.save(file, "PNG")
        expected = np.asarray(reference.center_crop(reference.resize(converted.convert("RGB"), [10]), [10, 10]))
        assert (decode_image(file.getvalue(), 10) == expected).all()


def test_parquet_images_of_differing_size(tmp_path: Path) -> None:
    sizes = [(10, 12), (30, 9), (8, 8), (9, 40)]
    for split in ("train", "test"):
        images = [encode(random_image(*size, 1)) for size in sizes]
        write_split(tmp_path / "own" / f"{split}.parquet", images, [0, 1, 0, 1])
    config = {"dataset": "own", "data_dir": str(tmp_path), "profile": NATURAL, "protocol": "test-select"}
    data = load(DataConfig.model_validate({**config, "image_size": 8}))
    assert data.train.images.shape == (4, 1, 8, 8)
    assert (data.train.images[2, 0].numpy() == random_image(8, 8, 1)).all()
    other = prepare(DataConfig.model_validate({**config, "image_size": 9}))
    assert other.image_shape == (1, 9, 9) and other.fingerprint != data.fingerprint


def test_an_image_size_is_a_cache_of_its_own(tmp_path: Path) -> None:
    write_folder(tmp_path / "own", (4, 4), (2, 2))
    configs = [DataConfig(dataset="own", data_dir=str(tmp_path), image_size=size) for size in (None, 5, 6)]
    assert len({find_source(config).key("train") for config in configs}) == 3


def test_sets_that_come_decoded_are_scaled_too() -> None:
    config = DataConfig.model_validate({"dataset": "digits", "profile": NATURAL, "image_size": 16})
    source = find_source(config)
    assert isinstance(source, Resized) and source.dataset == "digits" and not source.has_validation
    assert prepare(config).image_shape == (1, 16, 16)
    small = find_source(config.model_copy(update={"image_size": None})).read("test")
    read = source.read("test")
    expected = reference.resize(Image.fromarray(small.images[3, 0]), [16])
    assert (read.images[3, 0] == np.asarray(expected)).all() and (read.labels == small.labels).all()


def test_colour_images_that_come_decoded(tmp_path: Path) -> None:
    class Two:
        dataset, has_validation = "two", False

        def key(self, split: object) -> str:
            return "ab"

        def read(self, split: object) -> object:
            from trainables.data.sources.source import LabelledImages

            images = random_image(12, 10, 3).transpose(2, 0, 1)[None]
            return LabelledImages(np.ascontiguousarray(images), np.array([0]), ("a",))

    read = Resized(Two(), 5).read("train")
    expected = decode_image(encode(random_image(12, 10, 3)), 5)
    assert (read.images[0].transpose(1, 2, 0) == expected).all()


def test_a_large_set_is_decoded_into_a_file_that_has_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    grey, colour = random_image(6, 5, 1), random_image(6, 5, 3)
    images = [encode(grey)] * 100 + [encode(colour)] + [encode(grey)]
    write_split(tmp_path / "own" / "train.parquet", images, [0, 1] * 51)
    source = ParquetFolder("own", tmp_path / "own")
    inside = source.read("train").images
    monkeypatch.setattr(image_decoding, "_LARGE", 1)
    outside = source.read("train").images
    assert isinstance(outside, np.memmap) and (outside == inside).all() and outside.shape == (102, 3, 6, 5)
    assert not list(cache_folder.iterdir())
    fail = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(os, "posix_fallocate", fail)
    with pytest.raises(BadInput, match=r"cannot be written \(No space left on device\); set STUDY_CACHE_DIR"):
        source.read("train")
    assert fail.called


@pytest.mark.parametrize("size", [0, -1, 5000])
def test_sizes_out_of_range_are_refused(size: int) -> None:
    with pytest.raises(ValidationError, match="image_size"):
        DataConfig(dataset="digits", image_size=size)
