"""Feature vectors: from Parquet to normalised batches, and what wrong ones are answered with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.trainables.data.written_sets import write_vector_folder, write_vectors
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import Split, load, prepare, resolve_augmentation
from trainables.data.input_statistics import feature_statistics
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.data.sources.parquet_folder import ParquetFolder


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    return write_vector_folder(tmp_path / "data" / "reuters")


def config(folder: Path, **changes: Any) -> DataConfig:
    given = {"dataset": folder.name, "data_dir": str(folder.parent), "profile": {"kind": "natural"}}
    return DataConfig.model_validate({**given, **changes})


def verdict(folder: Path, **changes: Any) -> str:
    with pytest.raises(BadInput) as caught:
        prepare(config(folder, **changes))
    return str(caught.value)


def test_vectors_are_images_of_one_pixel(texts: Path) -> None:
    read = ParquetFolder("reuters", texts).read("train")
    assert read.images.dtype == np.float32 and read.images.shape == (36, 5, 1, 1)
    written = pq.read_table(texts / "train.parquet")["features"].to_pylist()
    assert (read.images[:, :, 0, 0] == np.asarray(written, np.float32)).all()


def test_prepare_and_load_through_the_cache(texts: Path) -> None:
    summary = prepare(config(texts, profile={"kind": "long_tail", "ratio": 5}, label_noise=0.1))
    data = load(config(texts, profile={"kind": "long_tail", "ratio": 5}, label_noise=0.1))
    assert summary.image_shape == (5, 1, 1) and summary.fingerprint == data.fingerprint
    assert sum(summary.class_counts) == 11 + 4 + 2 and summary.validation_size == 3
    assert data.train.images.dtype == torch.float32 and data.train.images.shape == (17, 5, 1, 1)
    of_class = data.test().images.mean(1).flatten() // 5
    assert len(of_class.unique()) == 3
    again = load(config(texts))
    assert torch.equal(again.test().images, data.test().images)


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float16())], ids=str)
def test_lists_of_other_types_are_read_too(tmp_path: Path, kind: pa.DataType) -> None:
    vectors = np.arange(12, dtype=np.float16).reshape(4, 3)
    write_vectors(tmp_path / "train.parquet", vectors, [0, 1, 0, 1], kind)
    read = ParquetFolder("own", tmp_path).read("train")
    assert (read.images[:, :, 0, 0] == vectors).all() and read.images.dtype == np.float32


def test_many_batches_keep_their_order(tmp_path: Path) -> None:
    vectors = np.arange(10_000, dtype=np.float32).reshape(5000, 2)
    write_vectors(tmp_path / "train.parquet", vectors, [0, 1] * 2500, pa.list_(pa.float32(), 2))
    assert (ParquetFolder("own", tmp_path).read("train").images[:, :, 0, 0] == vectors).all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([1.0, 2.0], "expected a vector of 3 numbers in `features` like the ones before, got 2"),
        ([], "expected a vector of 3 numbers in `features` like the ones before, got 0"),
        (None, "`features` is null"),
        ([1.0, float("nan"), 2.0], "`features` must be finite float32 numbers, got nan in place 1 (counted from 0)"),
        ([1.0, None, 2.0], "`features` must be finite float32 numbers, got nan in place 1 (counted from 0)"),
        ([1.0, 2.0, 1e300], "`features` must be finite float32 numbers, got inf in place 2 (counted from 0)"),
    ],
    ids=["short", "empty", "null", "nan", "null inside", "too large"],
)
@pytest.mark.parametrize("before", [4, 3000])
def test_a_wrong_vector(texts: Path, before: int, wrong: Any, said: str) -> None:
    vectors = [[0.0, 1.0, 2.0]] * before + [wrong]
    labels = [0, 1] * (before // 2) + [0]
    path = write_vectors(texts / "train.parquet", vectors, labels, pa.list_(pa.float64()))
    assert verdict(texts) == f"{path}, row {before} (counted from 0): {said}"


def test_vectors_without_numbers(texts: Path) -> None:
    path = write_vectors(texts / "train.parquet", [[], []], [0, 1])
    assert verdict(texts) == (f"{path}, row 0 (counted from 0): expected a vector of some numbers in `features`, got 0")


def test_a_column_of_another_type(texts: Path) -> None:
    path = write_vectors(texts / "train.parquet", [[1, 2]], [0], pa.list_(pa.int32()))
    assert verdict(texts).startswith(f"{path}: column `features` must be a list of floating-point numbers, got list<")


def test_a_wrong_label(texts: Path) -> None:
    path = write_vectors(texts / "test.parquet", [[0.0] * 5] * 4, [0, 1, 2, 3])
    assert verdict(texts) == f"{path}, row 3 (counted from 0): `label` must be in 0..2 (3 classes), got 3"


def test_train_and_test_of_differing_length(texts: Path) -> None:
    write_vectors(texts / "test.parquet", [[0.0] * 4] * 3, [0, 1, 2])
    assert verdict(texts).endswith("vectors are (length, 1, 1)): train (5, 1, 1), test (4, 1, 1)")


def test_vectors_have_no_size(texts: Path) -> None:
    assert verdict(texts, image_size=8) == (
        f"{texts}/train.parquet holds vectors, which have no `image_size`; omit it, got 8"
    )


def test_the_key_follows_time(texts: Path) -> None:
    before = ParquetFolder("reuters", texts).key("train")
    os.utime(texts / "train.parquet", (1, 1))
    assert ParquetFolder("reuters", texts).key("train") != before


def test_a_third_file_validates_under_published(texts: Path) -> None:
    assert "has none" in verdict(texts, protocol="published")
    write_vectors(texts / "validation.parquet", [[float(k)] * 5 for k in range(3)] * 2, [0, 1, 2] * 2)
    assert prepare(config(texts, protocol="published")).validation_size == 6
    assert load(config(texts, protocol="published")).validation.images.shape == (6, 5, 1, 1)


def test_statistics_are_those_of_every_feature_and_spare_constant_ones() -> None:
    vectors = np.random.default_rng(0).normal(5, 3, (2500, 4)).astype(np.float32)
    vectors[:, 2], vectors[:, 3] = np.float32(0.1), vectors[:, 3] * 1e-35
    mean, std = feature_statistics(vectors[:, :, None, None])
    wide = vectors.astype(np.float64)
    assert mean == pytest.approx(wide.mean(0), rel=1e-12)
    assert std[:2] == pytest.approx(wide.std(0)[:2], rel=1e-12) and std[2:] == (1.0, 1.0)
    rows = np.array([5, 7, 1000])
    assert feature_statistics(vectors[:, :, None, None], rows) == feature_statistics(vectors[rows, :, None, None])


@pytest.mark.parametrize("channels_last", [True, False])
def test_batches_are_standardised_and_nothing_else(channels_last: bool) -> None:
    vectors = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * 300 - 40
    mean, std = feature_statistics(vectors.numpy()[:, :, None, None])
    split = Split(vectors[:, :, None, None], torch.arange(50))
    pipeline = BatchPipeline(split, mean, std, channels_last=channels_last)
    assert pipeline.full_scale is None
    draws, rows = pipeline.draw(50, torch.Generator()), torch.randperm(50)
    pixels = pipeline.pixels(rows, draws)
    assert pixels.dtype == torch.float32 and torch.equal(pixels[:, :, 0, 0], vectors[rows])
    batch = pipeline.batch(rows)
    assert batch.shape == (50, 6, 1, 1)
    expected = (vectors[rows].double() - torch.tensor(mean)) / torch.tensor(std)
    assert (batch[:, :, 0, 0] - expected).abs().max() < 1e-5
    assert torch.cat([images for images, _ in pipeline.in_order(8)])[:, :, 0, 0].mean(0).abs().max() < 1e-5


def test_vectors_cannot_be_cropped() -> None:
    assert resolve_augmentation("auto", "svhn", (300, 1, 1)) == "none"
    assert resolve_augmentation("auto", "svhn", (3, 32, 32)) == "crop"
    assert resolve_augmentation("crop-flip", "svhn", (3, 32, 32)) == "crop-flip"
    with pytest.raises(BadInput, match="`augmentation` crop needs images, but texts holds vectors; allowed: auto, non"):
        resolve_augmentation("crop", "texts", (300, 1, 1))
