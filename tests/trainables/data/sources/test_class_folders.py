"""Folders of class folders: which files are which split, and the message for each way they can be wrong."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainables.data.written_sets import write_class_folders, write_image, write_tiny_imagenet
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import load, prepare
from trainables.data.sources.class_folders import ClassFolders


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "data" / "pets")


def config(folder: Path, **changes: Any) -> DataConfig:
    given = {"dataset": folder.name, "data_dir": str(folder.parent), "profile": {"kind": "natural"}}
    return DataConfig.model_validate({**given, **changes})


def verdict(folder: Path, **changes: Any) -> str:
    with pytest.raises(BadInput) as caught:
        prepare(config(folder, **changes))
    return str(caught.value)


def test_folders_are_classes_and_files_their_images(pets: Path) -> None:
    read = ClassFolders("pets", pets).read("train")
    assert read.class_names == ("cat", "dog", "eel") and read.images.shape == (24, 3, 12, 12)
    assert read.labels.tolist() == [0] * 8 + [1] * 8 + [2] * 8
    means = read.images.mean((1, 2, 3))
    assert np.abs(means - (80 * read.labels + np.tile(np.arange(8), 3))).max() < 2  # a JPEG is not exact


def test_prepare_and_load(pets: Path) -> None:
    summary, data = prepare(config(pets)), load(config(pets))
    assert summary.class_counts == (7, 7, 7) and summary.validation_size == 3
    assert data.fingerprint == summary.fingerprint and len(data.test().labels) == 24


def test_val_is_the_test_split_where_there_is_no_test(pets: Path) -> None:
    (pets / "test").rename(pets / "val")
    assert len(load(config(pets)).test().labels) == 24
    assert "has none" in verdict(pets, protocol="published")


def test_val_beside_test_validates_under_published_alone(pets: Path) -> None:
    write_class_folders(pets, ["val"], images=3)
    assert prepare(config(pets)).validation_size == 3 and prepare(config(pets)).class_counts == (7, 7, 7)
    data = load(config(pets, protocol="published"))
    assert len(data.train.labels) == 24 and len(data.validation.labels) == 9 and len(data.test().labels) == 24
    shutil.rmtree(pets / "val" / "dog")
    assert verdict(pets, protocol="published") == (
        "protocol published validates on validation images and needs 1 of every class; class 1 ('dog') has 0"
    )


def test_tiny_imagenet_in_its_own_layout(tmp_path: Path) -> None:
    folder = write_tiny_imagenet(tmp_path / "data" / "tiny-imagenet")
    data = load(config(folder))
    assert data.class_names == ("n01", "n02", "n03") and data.class_counts.tolist() == [7, 7, 7]
    test = data.test()
    assert test.labels.tolist() == [2, 0, 1, 1, 0, 2]
    assert test.images.float().mean((1, 2, 3)).tolist() == pytest.approx([160, 1, 82, 83, 4, 165], abs=2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("val_0.JPEG", "expected an image and a class, got 'val_0.JPEG'"),
        ("val_0.JPEG\tn04\t0", "unknown class 'n04'; did you mean 'n03'? Allowed: n01, n02, n03"),
        ("../val_0.JPEG\tn03", "expected the name of a file in images/, got '../val_0.JPEG'"),
        ("gone.JPEG\tn03", "no image {folder}/val/images/gone.JPEG (No such file or directory)"),
    ],
)
def test_a_wrong_annotation(tmp_path: Path, line: str, said: str) -> None:
    folder = write_tiny_imagenet(tmp_path / "data" / "tiny")
    table = folder / "val" / "val_annotations.txt"
    table.write_text(table.read_text().replace("val_2.JPEG\tn02\t0\t32\t44\t62", line))
    assert verdict(folder).startswith(f"{table}, line 3: {said.format(folder=folder)}")


def test_an_image_annotated_twice(tmp_path: Path) -> None:
    folder = write_tiny_imagenet(tmp_path / "data" / "tiny")
    table = folder / "val" / "val_annotations.txt"
    table.write_text(table.read_text() + "val_2.JPEG\tn01\n")
    assert verdict(folder) == f"{table}: the image images/val_2.JPEG is named more than once"


def test_an_empty_class_folder(pets: Path) -> None:
    shutil.rmtree(pets / "train" / "dog")
    (pets / "train" / "dog").mkdir()
    (pets / "train" / "dog" / "notes.txt").write_text("none yet")
    assert verdict(pets) == f"{pets}/train/dog is empty: expected at least one image (.jpeg, .jpg, .png)"


def test_no_train_folder(pets: Path) -> None:
    shutil.rmtree(pets / "train")
    assert verdict(pets).startswith(f"{pets} holds no data set: expected ")
    assert "a folder train of class folders" in verdict(pets)


def test_no_class_folders(pets: Path) -> None:
    shutil.rmtree(pets / "test")
    (pets / "test").mkdir()
    assert verdict(pets) == f"{pets}/test holds no class folder; expected test/<class>/<image>.jpg"
    shutil.rmtree(pets / "train")
    (pets / "train").mkdir()
    assert verdict(pets) == f"{pets}/train holds no class folder; expected train/<class>/<image>.jpg"


def test_neither_test_nor_val(pets: Path) -> None:
    shutil.rmtree(pets / "test")
    assert verdict(pets) == f"{pets} has no folder test or val; expected class folders in train and in test or val"


def test_a_class_that_train_lacks(pets: Path) -> None:
    write_image(pets / "test" / "cats" / "1.png", 0)
    assert verdict(pets).startswith(f"{pets}/test: unknown class 'cats'; did you mean 'cat'? Allowed: cat, dog, eel")


def test_classes_that_lie_deeper(pets: Path) -> None:
    write_image(pets / "train" / "cat" / "wild" / "1.png", 0)
    assert verdict(pets).startswith(f"{pets}/train/cat holds the folder wild, but images must lie in <class>/")


def test_images_of_another_format(pets: Path) -> None:
    write_image(pets / "train" / "cat" / "1.bmp", 0)
    assert verdict(pets) == f"{pets}/train/cat/1.bmp: images are .jpeg, .jpg, .png, got .bmp"


def test_an_image_that_does_not_decode(pets: Path) -> None:
    path = pets / "train" / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:40])
    assert verdict(pets).startswith(f"{path}: expected a whole PNG or JPEG image, got 40 bytes that do not decode")


def test_images_of_differing_size_name_the_way_out(pets: Path) -> None:
    path = write_image(pets / "train" / "dog" / "1.png", 0, (30, 20))
    assert verdict(pets) == (
        f"{path}: expected an image of 12 x 12 pixels (height x width) like the ones before, got 30 x 20; "
        "`image_size` in the data's settings scales and crops all images to one size"
    )
    assert prepare(config(pets, image_size=10)).image_shape == (3, 10, 10)


def test_the_key_follows_names_sizes_and_times_but_not_place(pets: Path, tmp_path: Path) -> None:
    def key(folder: Path = pets, split: Any = "train", image_size: int | None = None) -> str:
        return ClassFolders("pets", folder, image_size).key(split)

    before, test = key(), key(split="test")
    assert key(Path(shutil.copytree(pets, tmp_path / "elsewhere"))) == before  # keeps the times
    assert key(image_size=8) != before
    os.utime(pets / "train" / "cat" / "0.jpg", (1, 1))
    changed = key()
    assert changed != before and key(split="test") == test
    (pets / "train" / "cat" / "0.jpg").rename(pets / "train" / "dog" / "00.jpg")
    moved = key()
    assert moved != changed
    write_image(pets / "train" / "fox" / "0.jpg", 0)
    assert key() != moved and key(split="test") != test  # labels may have shifted
