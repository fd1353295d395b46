"""Parquet folders: what is read, and the message for each way a file can be wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainables.data.made_images import encode, write_folder, write_split
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import prepare
from trainables.data.sources.parquet_folder import ParquetFolder

GREY = np.arange(30, dtype=np.uint8).reshape(6, 5)
COLOUR = np.arange(90, dtype=np.uint8).reshape(6, 5, 3)
NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
NATURAL: Any = {"kind": "natural"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data" / "own", (12, 12), (4, 4))


def verdict(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        prepare(DataConfig(dataset=folder.name, data_dir=str(folder.parent), profile=NATURAL))
    return str(caught.value)


def replace_train(folder: Path, images: Sequence[Any], labels: Sequence[Any], names: str | None = None) -> Path:
    return write_split(folder / "train.parquet", images, labels, names)


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
def test_pixels_labels_and_names_are_those_of_the_file(tmp_path: Path, image: np.ndarray) -> None:
    images = [encode(image), encode(image + 1), encode(image + 2)]
    write_split(tmp_path / "train.parquet", images, [1, 0, 1], "left,right")
    read = ParquetFolder("own", tmp_path).read("train")
    assert read.class_names == ("left", "right")
    assert read.labels.tolist() == [1, 0, 1] and read.labels.dtype == np.int64
    expected = np.atleast_3d(image).transpose(2, 0, 1)
    assert (read.images == np.stack([expected, expected + 1, expected + 2])).all()


def test_jpeg_and_png_may_be_mixed_and_one_image_in_colour_makes_all_colour(tmp_path: Path) -> None:
    images = [encode(GREY)] * 100 + [encode(COLOUR, "JPEG")] + [encode(GREY)] * 2
    write_split(tmp_path / "train.parquet", images, [0, 1] * 51 + [0])
    read = ParquetFolder("own", tmp_path).read("train")
    assert read.images.shape == (103, 3, 6, 5)
    assert (read.images[[0, 99, 102]] == GREY).all()


def test_rows_keep_their_order_over_batches_and_threads(tmp_path: Path) -> None:
    values = np.arange(5000) % 251
    images = [encode(np.full((2, 2), value, np.uint8)) for value in range(251)]
    write_split(tmp_path / "train.parquet", [images[value] for value in values], (values % 2).tolist())
    assert (ParquetFolder("own", tmp_path).read("train").images[:, 0, 0, 0] == values).all()


def test_without_names_the_labels_are_the_names(folder: Path) -> None:
    summary = prepare(DataConfig(dataset="own", data_dir=str(folder.parent), profile=NATURAL))
    assert summary.class_names == ("0", "1") and summary.image_shape == (1, 6, 5)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("kept", [0, 3, 100, -1])
def test_a_file_cut_off(folder: Path, split: str, kept: int) -> None:
    path = folder / f"{split}.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    assert verdict(folder).startswith(f"{path} (")
    assert "is cut off or not a Parquet file" in verdict(folder)


def test_a_file_with_a_hole(folder: Path) -> None:
    path = folder / "train.parquet"
    content = bytearray(path.read_bytes())
    content[4:600] = bytes(596)
    path.write_bytes(content)
    assert str(path) in verdict(folder) and "damaged" in verdict(folder)


def test_a_footer_of_nonsense(folder: Path) -> None:
    path = folder / "train.parquet"
    path.write_bytes(b"PAR1" + b"\x07" * 50 + (40).to_bytes(4, "little") + b"PAR1")
    assert verdict(folder).startswith(f"{path} is damaged or not a Parquet file")


def test_a_missing_file(folder: Path) -> None:
    (folder / "test.parquet").unlink()
    assert f"{folder / 'test.parquet'} does not exist" in verdict(folder)


def test_no_rows(folder: Path) -> None:
    replace_train(folder, [], [])
    assert verdict(folder) == f"{folder / 'train.parquet'} holds no rows, expected at least one image"


@pytest.mark.parametrize(("missing", "wanted"), [("image", "binary"), ("label", "an integer type")])
def test_a_missing_column(folder: Path, missing: str, wanted: str) -> None:
    path = folder / "train.parquet"
    table = pq.read_table(path)
    pq.write_table(table.rename_columns([f"my_{c}" if c == missing else c for c in table.column_names]), path)
    said = verdict(folder)
    assert said.startswith(f"{path}: no column `{missing}` ({wanted}); found ") and f"my_{missing}" in said


@pytest.mark.parametrize(("column", "kind"), [("image", pa.string()), ("label", pa.float64())])
def test_a_column_of_another_type(folder: Path, column: str, kind: pa.DataType) -> None:
    path = folder / "train.parquet"
    columns = {"image": pa.array([b"a"]), "label": pa.array([1])}
    columns[column] = pa.array(["1"]).cast(kind)
    pq.write_table(pa.table(columns), path)
    assert f"{path}: column `{column}` must be" in verdict(folder) and f"got {kind}" in verdict(folder)


@pytest.mark.parametrize(
    ("wrong", "names", "said"),
    [
        (-1, None, "`label` must be in 0..11 (12 classes), got -1"),
        (12, None, "`label` must be in 0..11 (12 classes), got 12"),
        (2, "a,b", "`label` must be in 0..1 (2 classes), got 2"),
        (None, "a,b", "`label` is null"),
        (None, None, "`label` is null"),
    ],
)
def test_a_wrong_label(folder: Path, wrong: int | None, names: str | None, said: str) -> None:
    path = replace_train(folder, [encode(GREY)] * 12, [0, 1] * 4 + [0, wrong, 0, 1], names)
    assert verdict(folder) == f"{path}, row 9 (counted from 0): {said}"


def test_a_test_label_beyond_the_training_classes(folder: Path) -> None:
    path = write_split(folder / "test.parquet", [encode(GREY)] * 3, [0, 1, 2])
    assert verdict(folder) == f"{path}, row 2 (counted from 0): `label` must be in 0..1 (2 classes), got 2"


def test_other_class_names_in_test(folder: Path) -> None:
    replace_train(folder, [encode(GREY)] * 4, [0, 1] * 2, "cat,dog")
    path = write_split(folder / "test.parquet", [encode(GREY)] * 2, [0, 1], "dog,cat")
    assert verdict(folder) == (f"{path}: its `classes` (dog, cat) differ from those of train.parquet (cat, dog)")


def whole_then(last: bytes | None) -> list[bytes | None]:
    return [encode(GREY)] * 70 + [last]


def test_a_null_image(folder: Path) -> None:
    path = replace_train(folder, whole_then(None), [0, 1] * 35 + [0])
    assert verdict(folder) == f"{path}, row 70 (counted from 0): `image` is null"


@pytest.mark.parametrize(
    "broken",
    [b"", b"no image", encode(NOISE)[:600], encode(NOISE, "JPEG")[:700]],
    ids=["empty", "text", "png cut off", "jpeg cut off"],
)
def test_image_bytes_that_do_not_decode(folder: Path, broken: bytes) -> None:
    path = replace_train(folder, whole_then(broken), [0, 1] * 35 + [0])
    said = verdict(folder)
    assert said.startswith(f"{path}, row 70 (counted from 0): expected a whole PNG or JPEG image, got ")
    assert f"{len(broken)} bytes that do not decode" in said and "0x" not in said


def test_sixteen_bit_images_are_refused_instead_of_clipped(folder: Path) -> None:
    path = replace_train(folder, whole_then(encode(GREY.astype(np.uint16))), [0, 1] * 35 + [0])
    assert verdict(folder).startswith(f"{path}, row 70") and "8 bits per channel" in verdict(folder)


def test_images_of_differing_size(folder: Path) -> None:
    path = replace_train(folder, whole_then(encode(GREY.T.copy())), [0, 1] * 35 + [0])
    said = verdict(folder)
    assert said.startswith(f"{path}, row 70 (counted from 0): expected an image of 6 x 5 pixels")
    assert "got 5 x 6; `image_size` in the data's settings" in said


def test_train_and_test_of_differing_shape(folder: Path) -> None:
    write_split(folder / "test.parquet", [encode(COLOUR)] * 2, [0, 1])
    assert "differ in shape" in verdict(folder) and "(3, 6, 5)" in verdict(folder)


def test_the_key_follows_content_and_time_but_not_place(folder: Path, tmp_path: Path) -> None:
    before = ParquetFolder("own", folder).key("train")
    elsewhere = Path(shutil.copytree(folder, tmp_path / "elsewhere"))  # keeps the times
    assert ParquetFolder("own", elsewhere).key("train") == before
    os.utime(folder / "train.parquet", (1, 1))
    assert ParquetFolder("own", folder).key("train") != before
    assert ParquetFolder("own", elsewhere).key("test") != before
