"""CelebA-5: who is in it, and what damaged tables are answered with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.data.written_sets import write_celeba
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import load, prepare
from trainables.data.sources.celeba import CelebA5


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return write_celeba(tmp_path / "data" / "celeba-5")


def config(folder: Path, **changes: Any) -> DataConfig:
    given = {"dataset": folder.name, "data_dir": str(folder.parent), "profile": {"kind": "natural"}}
    return DataConfig.model_validate({**given, **changes})


def verdict(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        prepare(config(folder))
    return str(caught.value)


def change_line(path: Path, number: int, edit: Callable[[str], str]) -> Path:
    lines = path.read_text().split("\n")
    lines[number - 1] = edit(lines[number - 1])
    path.write_text("\n".join(lines))
    return path


def test_five_classes_of_faces_with_one_colour_of_hair(faces: Path) -> None:
    read = CelebA5("celeba-5", faces).read("train")
    assert read.class_names == ("Gray_Hair", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bald")
    assert read.images.shape == (35, 3, 24, 18)  # 42 in the split, 7 of them with two colours
    in_writing_order = [1, 2, 4, 3, 0]  # black, blond, bald, brown, gray
    assert read.labels.tolist() == in_writing_order * 7
    assert read.images.mean((1, 2, 3)) == pytest.approx([0, 40, 80, 120, 160] * 7, abs=2)


def test_prepare_and_load_with_the_published_partition(faces: Path) -> None:
    held_out = prepare(config(faces))
    assert held_out.class_counts == (6,) * 5 and held_out.validation_size == 5
    assert held_out.image_shape == (3, 24, 18)
    data = load(config(faces, protocol="published", image_size=16))
    assert data.class_counts.tolist() == [7] * 5 and len(data.validation.labels) == 35
    assert data.train.images.shape == (35, 3, 16, 16) and len(data.test().labels) == 35


@pytest.mark.parametrize("line", [1, 2])
def test_a_table_cut_off(faces: Path, line: int) -> None:
    table = faces / "list_attr_celeba.txt"
    table.write_text("\n".join(table.read_text().split("\n")[: line - 1]))
    assert verdict(faces).startswith(f"{table} is cut off")


def test_a_missing_attribute(faces: Path) -> None:
    table = change_line(faces / "list_attr_celeba.txt", 2, lambda line: line.replace("Gray_Hair", "Grey_Hair"))
    assert verdict(faces).startswith(f"{table}, line 2: no attribute Gray_Hair; found 5_o_Clock_Shadow, Bald, ")


def test_fewer_lines_than_promised(faces: Path) -> None:
    table = faces / "list_attr_celeba.txt"
    table.write_text("\n".join(table.read_text().split("\n")[:100]))
    assert verdict(faces) == f"{table}, line 1: it states '126' images, but 98 lines follow"


def test_a_row_cut_off_and_a_wrong_value(faces: Path) -> None:
    table = change_line(faces / "list_attr_celeba.txt", 5, lambda line: line.removesuffix("-1"))
    assert verdict(faces) == f"{table}, line 5: expected 7 values, got 6"
    change_line(table, 5, lambda line: line[:10] + " -1 0 -1 -1 -1 -1 -1")
    assert verdict(faces) == f"{table}, line 5: an attribute is 1 or -1, got '0'"


def test_a_wrong_partition(faces: Path) -> None:
    table = change_line(faces / "list_eval_partition.txt", 4, lambda line: line[:-1] + "3")
    assert verdict(faces) == (
        f"{table}, line 4: expected an image and 0 (train), 1 (validation) or 2 (test), got '000004.jpg 3'"
    )
    change_line(table, 4, lambda line: "other.jpg 0")
    assert verdict(faces) == (
        f"{faces}/list_attr_celeba.txt, line 6: list_eval_partition.txt does not name the image 000004.jpg"
    )
    table.unlink()
    assert verdict(faces) == f"{table} cannot be read: No such file or directory"


def test_a_split_without_images(faces: Path) -> None:
    table = faces / "list_eval_partition.txt"
    table.write_text(table.read_text().replace(" 2\n", " 1\n"))
    assert verdict(faces).endswith("exactly one of Gray_Hair, Black_Hair, Blond_Hair, Brown_Hair, Bald")


def test_a_missing_image(faces: Path) -> None:
    (faces / "img_align_celeba" / "000004.jpg").unlink()
    assert verdict(faces) == (
        f"{faces}/list_attr_celeba.txt, line 6: no image {faces}/img_align_celeba/000004.jpg "
        "(No such file or directory)"
    )


def test_the_key_follows_tables_and_files(faces: Path) -> None:
    source = CelebA5("celeba-5", faces)
    seen = [source.key("train")]
    os.utime(faces / "img_align_celeba" / "000001.jpg", (1, 1))
    seen.append(source.key("train"))
    change_line(faces / "list_eval_partition.txt", 1, lambda line: line[:-1] + "2")
    seen.append(source.key("train"))
    change_line(faces / "list_attr_celeba.txt", 4, lambda line: line.replace("1", "-1").replace("--", "-"))
    seen.append(source.key("train"))
    assert len(set(seen)) == 4
