"""Data sets from arrays: what is taken, what is written, what is refused, and that a study trains on it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study import ArrayData, BadInput, Study, from_arrays, train
from trainables.core.config import DataConfig
from trainables.data.sources.source_lookup import find_source
from trainables.testing import check_dataset

LABELS = np.arange(40) % 2


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_DATA_DIR", str(tmp_path / "data"))


def pixels(*shape: int) -> Any:
    """Images whose values differ."""
    return np.random.default_rng(0).integers(0, 256, (40, *shape), np.uint8)


def vectors_with(number: float) -> Any:
    """Vectors with a number in row 7, place 2."""
    vectors = np.zeros((40, 5))
    vectors[7, 2] = number
    return vectors


def masked(vectors: Any) -> Any:
    """Vectors whose row 7, place 2 is masked."""
    mask = np.zeros(vectors.shape, np.bool_)
    mask[7, 2] = True
    return np.ma.MaskedArray(vectors, mask)


def read(data: ArrayData, split: Any = "train", **changes: Any) -> Any:
    return find_source(DataConfig(dataset=data.name, data_dir=str(data.data_dir), **changes)).read(split)


@pytest.mark.parametrize("shape", [(12, 8), (12, 8, 1), (1, 12, 8), (12, 8, 3), (3, 12, 8)])
@pytest.mark.parametrize("kind", ["uint8", "float32", "torch"])
def test_images_come_back_as_they_were(shape: tuple[int, ...], kind: str) -> None:
    images = pixels(*shape)
    given = {"uint8": images, "float32": (images / 255).astype(np.float32), "torch": torch.from_numpy(images) / 255}[
        kind
    ]
    data = from_arrays((given, LABELS), (given[:10], LABELS[:10].tolist()), classes=["a, b", "c"])
    wanted = images[:, None] if images.ndim == 3 else images if shape[0] in (1, 3) else images.transpose(0, 3, 1, 2)
    found = read(data)
    np.testing.assert_array_equal(found.images, wanted)
    assert found.labels.tolist() == LABELS.tolist() and found.class_names == ("a, b", "c")
    np.testing.assert_array_equal(read(data, "test").images, wanted[:10])
    check_dataset(data.name, data.data_dir)


def test_the_name_is_a_digest_of_the_content(tmp_path: Path) -> None:
    pair = pixels(8, 8), LABELS
    data = from_arrays(pair, pair)
    assert data.data_dir == tmp_path / "data" and re.fullmatch(r"arrays-[0-9a-f]{16}", data.name)
    file = data.data_dir / data.name / "train.parquet"
    written = file.stat().st_mtime_ns
    assert from_arrays((torch.from_numpy(pair[0]) / 255, list(LABELS)), pair) == data
    assert file.stat().st_mtime_ns == written
    others = [from_arrays(pair, (pair[0], 1 - LABELS)), from_arrays(pair, pair, classes=["x", "y"]), from_arrays(pair)]
    assert len({data.name, *(other.name for other in others)}) == 4
    assert from_arrays(pair, pair, name="mine").name == data.name.replace("arrays", "mine")


def test_without_test_images_they_are_drawn() -> None:
    data = from_arrays((pixels(8, 8), LABELS))
    assert len(read(data, "test").labels) == 8 and len(read(data, "test", test_fraction=0.5).labels) == 20
    check_dataset(data.name, data.data_dir)


def test_vectors_and_a_validation_set() -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 5))
    data = from_arrays((vectors, LABELS), (vectors, LABELS), validation=(vectors[:4], LABELS[:4]))
    np.testing.assert_array_equal(read(data).images[:, :, 0, 0], vectors.astype(np.float32))
    assert read(data, "validation").images.shape == (4, 5, 1, 1)


def test_floats_that_lose_digits_are_said() -> None:
    images = np.random.default_rng(0).random((40, 8, 8))
    with pytest.warns(UserWarning, match="train images: float64 in .0, 1. are kept with 8 bits"):
        data = from_arrays((images, LABELS), (pixels(8, 8), LABELS))
    np.testing.assert_array_equal(read(data).images[:, 0], np.rint(images * 255))


ALLOWED = (
    "allowed are images (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, uint8 or floats in [0, 1], and "
    "vectors (N, D) of floats"
)


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (pixels(8, 8, 2), LABELS, f"train images: got uint8 of shape (40, 8, 8, 2), which has 8 channels; {ALLOWED}"),
        (pixels(3, 8, 3), LABELS, "channels may be first or last in uint8 of shape (40, 3, 8, 3); say layout='NCHW'"),
        (pixels(2, 2, 2, 2), LABELS, f"train images: got uint8 of shape (40, 2, 2, 2, 2); {ALLOWED}"),
        (pixels(8, 8).astype(int), LABELS, f"got int64 of shape (40, 8, 8); {ALLOWED}. Values from 0 to 255 need"),
        (pixels(8, 8) / 1.0, LABELS, "floats must lie in [0, 1], got float64 of shape (40, 8, 8) from 0 to 255"),
        (pixels(8, 8) / 128 - 1, LABELS, "Give images as they are before they are normalised"),
        (
            np.full((40, 8, 8), np.nan),
            LABELS,
            "floats must lie in [0, 1], got float64 of shape (40, 8, 8) from nan to nan",
        ),
        (pixels(8), LABELS, "vectors must be floats, got uint8 of shape (40, 8)"),
        ([[1], [1, 2]], LABELS, "train images: must be an array or a tensor, got list"),
        (pixels(8, 8), LABELS / 1.0, "train labels must be 40 whole numbers from 0, of shape (40,), got float64 of"),
        (pixels(8, 8), np.eye(40), "got float64 of shape (40, 40)"),
        (
            pixels(8, 8),
            LABELS[:39],
            "train labels must be 40 whole numbers from 0, of shape (40,), got int64 of shape (39,)",
        ),
        (pixels(8, 8), LABELS - 1, "train labels must lie in 0..1 (2 classes), got labels from -1 to 0"),
        (pixels(8, 8), LABELS + 5, "train labels must lie in 0..1 (2 classes), got labels from 5 to 6"),
        (pixels(8, 8), LABELS / 2, "got float64 of shape (40,) from 0.0 to 0.5"),
        (np.zeros((40, 0)), LABELS, "train images: every size must be 1 or more, got float64 of shape (40, 0)"),
        (pixels(0, 8), LABELS, "train images: every size must be 1 or more, got uint8 of shape (40, 0, 8)"),
        (pixels(8, 8)[:0], LABELS[:0], "train images: every size must be 1 or more, got uint8 of shape (0, 8, 8)"),
        (pixels(8, 8), [], "train labels: every size must be 1 or more, got float64 of shape (0,)"),
        (vectors_with(np.nan), LABELS, "train images, row 7, place 2 (counted from 0): vectors must be finite float32"),
        (vectors_with(-np.inf), LABELS, "vectors must be finite float32 numbers, got -inf"),
        (vectors_with(1e39), LABELS, "vectors must be finite float32 numbers, got 1e+39"),
        (torch.from_numpy(vectors_with(np.nan)), LABELS, "train images, row 7, place 2 (counted from 0)"),
        (masked(vectors_with(0.0)), LABELS, "train images, row 7, place 2 (counted from 0): is masked"),
        (list(masked(vectors_with(0.0))), LABELS, "train images, row 7, place 2 (counted from 0): is masked"),
        (pixels(8, 8), np.ma.masked_equal(LABELS, 1), "train labels, row 1 (counted from 0): is masked"),
        (
            torch.zeros(40, 8, 8, dtype=torch.bfloat16),
            LABELS,
            "torch.bfloat16 on cpu cannot be read as an array (Got unsupported ScalarType BFloat16); allowed are dense "
            "tensors of uint8, float16, float32 and float64",
        ),
        (torch.zeros(40, 8, dtype=torch.complex64).conj(), LABELS, "vectors must be floats, got complex64"),
        (torch.zeros(40, 8).to_sparse(), LABELS, "allowed are dense tensors"),
    ],
)
def test_what_is_refused(images: Any, labels: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        from_arrays((images, labels), (pixels(8, 8), LABELS), classes=["a", "b"])
    assert said in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("labels", "least", "most"),
    [
        (LABELS - 1, -1, 0),
        (LABELS * 0 - 1, -1, -1),
        (LABELS + 10_000, 10_000, 10_001),
        (LABELS.astype(np.uint64) * (2**64 - 1), 0, 2**64 - 1),
    ],
)
def test_labels_without_names_are_0_to_k_minus_1(labels: Any, least: int, most: int) -> None:
    with pytest.raises(BadInput) as caught:
        from_arrays((pixels(8, 8), labels))
    assert str(caught.value) == (
        f"train labels must be 0..K-1 for K classes, got labels from {least} to {most}; labels above 10,000 need "
        "`classes`"
    )


@pytest.mark.parametrize("classes", ["ab", b"ab", {"a": 0, "b": 1}, {"a", "b"}, 2])
def test_class_names_are_a_list(classes: Any) -> None:
    with pytest.raises(BadInput, match="`classes` must be a list of names, in label order, got "):
        from_arrays((pixels(8, 8), LABELS), classes=classes)


def test_views_that_torch_negates_late_and_masked_arrays_without_a_mask() -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    late = torch.complex(torch.zeros(40, 5), torch.from_numpy(vectors)).conj().imag
    assert late.is_neg()
    assert from_arrays((late, LABELS)) == from_arrays((-vectors, LABELS))
    assert from_arrays((np.ma.asarray(vectors), LABELS)) == from_arrays((vectors, LABELS))


@pytest.mark.parametrize("fraction", [float("nan"), float("inf")])
def test_a_share_of_test_images_is_a_number(fraction: float) -> None:
    with pytest.raises(BadInput, match=f"data.test_fraction: must be a finite number, got {fraction}"):
        train("erm", test_fraction=fraction)


def test_splits_that_do_not_fit_together(tmp_path: Path) -> None:
    pair = pixels(8, 8), LABELS
    with pytest.raises(BadInput, match=r"test images are uint8 \(1, 9, 9\), those of train uint8 \(1, 8, 8\)"):
        from_arrays(pair, (pixels(9, 9), LABELS))
    with pytest.raises(BadInput, match="give `test`, too"):
        from_arrays(pair, validation=pair)
    with pytest.raises(BadInput, match="`test` must be a pair of images and labels, got ndarray"):
        from_arrays(pair, pair[0])
    with pytest.raises(BadInput, match="`classes` must be two or more different names"):
        from_arrays(pair, pair, classes=["a", "a"])
    with pytest.raises(BadInput, match="`name` must be letters"):
        from_arrays(pair, pair, name="a/b")
    assert not list((tmp_path / "data").glob("*/*.parquet"))


def test_one_training_and_a_study_take_it() -> None:
    images = np.where(LABELS[:, None, None] == 1, 200, 20).astype(np.uint8) * np.ones((1, 8, 8), np.uint8)
    data = from_arrays((images, LABELS), (images, LABELS), classes=["dark", "bright"], name="shades")
    found = train("erm", dataset=data, ratio=2, model="mlp", epochs=3, batch_size=8, quiet=True, test=True)
    assert found.test is not None and found.test["accuracy"] == 1
    with pytest.raises(BadInput, match="`data_dir` must be left out"):
        train("erm", dataset=data, data_dir=data.data_dir)
    given = {
        "name": "arrays",
        "data": [{"dataset": data, "profiles": [{"kind": "natural"}]}],
        "methods": ["erm"],
        "model": "mlp",
    }
    (spec,) = Study.from_dict(given).spec.data
    assert (spec.dataset, spec.label, spec.data_dir) == (data.name, "shades", str(data.data_dir))
    assert given["data"][0]["dataset"] is data  # the caller's mapping is left alone
