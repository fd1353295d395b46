"""List files: lines become images with labels, and every wrong line is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.data.written_sets import write_lists
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import load, prepare
from trainables.data.sources.list_files import ListFiles


@pytest.fixture
def imagenet_lt(tmp_path: Path) -> Path:
    return write_lists(tmp_path / "data" / "imagenet-lt", "ImageNet_LT_")


def config(folder: Path, **changes: Any) -> DataConfig:
    given = {"dataset": folder.name, "data_dir": str(folder.parent), "profile": {"kind": "natural"}}
    return DataConfig.model_validate({**given, **changes})


def verdict(folder: Path, **changes: Any) -> str:
    with pytest.raises(BadInput) as caught:
        prepare(config(folder, **changes))
    return str(caught.value)


def change(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return path


def test_lines_are_images_in_order(imagenet_lt: Path) -> None:
    read = ListFiles("imagenet-lt", imagenet_lt).read("test")
    assert read.labels.tolist() == [0, 1, 2] * 4 and read.class_names == ("0", "1", "2")
    means = read.images.mean((1, 2, 3))
    assert means == pytest.approx([80 * (i % 3) + i // 3 + 20 for i in range(12)], abs=2)


@pytest.mark.parametrize("prefix", ["", "Places_LT_"])
def test_prepare_and_load(tmp_path: Path, prefix: str) -> None:
    folder = write_lists(tmp_path / "data" / "places-lt", prefix)
    summary, data = prepare(config(folder)), load(config(folder))
    assert summary.class_counts == (7, 7, 7) and summary.validation_size == 3
    assert data.fingerprint == summary.fingerprint and len(data.test().labels) == 12


def test_the_validation_list_validates_under_published_alone(imagenet_lt: Path) -> None:
    assert len(load(config(imagenet_lt)).validation.labels) == 3
    data = load(config(imagenet_lt, protocol="published"))
    assert data.class_counts.tolist() == [8, 8, 8]
    assert data.validation.images.float().mean((1, 2, 3)).tolist() == pytest.approx(
        [80 * (i % 3) + i // 3 + 10 for i in range(12)], abs=2
    )
    assert prepare(config(imagenet_lt, protocol="published")).fingerprint == data.fingerprint


def test_published_reads_no_test_label_before_it_is_asked_to(imagenet_lt: Path) -> None:
    (imagenet_lt / "ImageNet_LT_test.txt").write_text("rubbish\n")
    data = load(config(imagenet_lt, protocol="published"))
    with pytest.raises(BadInput, match="line 1"):
        data.test()


def test_without_a_test_list_the_validation_list_is_the_test(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "data" / "inat", splits=("train", "val"))
    assert len(load(config(folder)).test().labels) == 12
    assert verdict(folder, protocol="published") == (
        "protocol published needs a validation split beside train and test, and inat has none "
        "(docs/data.md); allowed here: holdout, m2m, test-select"
    )


def test_names_of_classes(imagenet_lt: Path) -> None:
    (imagenet_lt / "classes.txt").write_text("tench\ngreat white shark\ncock\n")
    assert prepare(config(imagenet_lt)).class_names == ("tench", "great white shark", "cock")
    (imagenet_lt / "classes.txt").write_text("tench\nshark\n")
    assert verdict(imagenet_lt) == (
        f"{imagenet_lt}/ImageNet_LT_train.txt, line 3: the label must be in 0..1 (2 classes), got 2"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train/n1/a.JPEG", "expected a path and a label, got 'train/n1/a.JPEG'"),
        ("train/n1/a.JPEG one", "the label must be a whole number from 0, got 'one'"),
        ("train/n1/a.JPEG 1.0", "the label must be a whole number from 0, got '1.0'"),
        ("train/n1/a.JPEG -1", "the label must be in 0..2 (3 classes), got -1"),
        ("train/n1/a.JPEG 24", "the label must be in 0..2 (3 classes), got 24"),
        ("/train/n1/a.JPEG 1", "the path must lie below {folder}, got '/train/n1/a.JPEG'"),
        ("../n1/a.JPEG 1", "the path must lie below {folder}, got '../n1/a.JPEG'"),
        ("train/n1/a.JPEG 1", "no image {folder}/train/n1/a.JPEG (No such file or directory)"),
    ],
)
def test_a_wrong_line(imagenet_lt: Path, line: str, said: str) -> None:
    path = change(imagenet_lt / "ImageNet_LT_train.txt", "train/n1/a file 4.JPEG 1", line)
    assert verdict(imagenet_lt) == f"{path}, line 5: {said.format(folder=imagenet_lt)}"


def test_a_test_label_beyond_the_training_classes(imagenet_lt: Path) -> None:
    path = change(imagenet_lt / "ImageNet_LT_test.txt", "test/n1/a file 4.JPEG 1", "test/n1/a file 4.JPEG 3")
    assert verdict(imagenet_lt) == f"{path}, line 5: the label must be in 0..2 (3 classes), got 3"


def test_a_class_without_a_training_image(imagenet_lt: Path) -> None:
    path = imagenet_lt / "ImageNet_LT_train.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.endswith(" 1\n")))
    assert verdict(imagenet_lt) == "class 1 ('1') has no training image under any profile"


def test_an_image_that_does_not_decode(imagenet_lt: Path) -> None:
    (imagenet_lt / "train" / "n1" / "a file 4.JPEG").write_bytes(b"rubbish")
    said = verdict(imagenet_lt)
    assert said.startswith(f"{imagenet_lt}/ImageNet_LT_train.txt, line 5: expected a whole PNG or JPEG image, got 7 ")


def test_an_empty_list(imagenet_lt: Path) -> None:
    (imagenet_lt / "ImageNet_LT_train.txt").write_text("\n")
    assert verdict(imagenet_lt).startswith(f"{imagenet_lt}/ImageNet_LT_train.txt names no image; a line is ")


def test_a_list_that_is_no_text(imagenet_lt: Path) -> None:
    (imagenet_lt / "ImageNet_LT_train.txt").write_bytes(b"\xff\xfe\x00")
    assert "is not text in UTF-8" in verdict(imagenet_lt)


def test_missing_and_ambiguous_lists(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "data" / "both", "A_", splits=("train",))
    assert verdict(folder) == f"{folder} has neither A_test.txt nor A_val.txt; one of them is the test split"
    (folder / "B_train.txt").write_text("x 0\n")
    assert verdict(folder) == (
        f"{folder}: expected one training list, train.txt or NAME_train.txt; found A_train.txt, B_train.txt"
    )


def test_the_key_follows_list_and_files(imagenet_lt: Path) -> None:
    source = ListFiles("imagenet-lt", imagenet_lt)
    before = source.key("train")
    os.utime(imagenet_lt / "train" / "n1" / "a file 4.JPEG", (1, 1))
    touched = source.key("train")
    change(imagenet_lt / "ImageNet_LT_train.txt", "a file 4.JPEG 1", "a file 4.JPEG 2")
    assert len({before, touched, source.key("train"), ListFiles("imagenet-lt", imagenet_lt, 8).key("train")}) == 4
