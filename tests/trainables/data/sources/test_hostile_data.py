"""Data sets made to hang, to fill the memory or to read files that are not theirs: each is refused, with its place."""

from __future__ import annotations

import os
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainables.data.made_images import encode, write_split
from tests.trainables.data.written_sets import (
    write_celeba,
    write_class_folders,
    write_image,
    write_lists,
    write_tiny_imagenet,
)
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data.sources.image_cache import open_images
from trainables.data.sources.image_decoding import decode_image
from trainables.data.sources.source_lookup import find_source


def _open(folder: Path, image_size: int | None = None) -> int:
    config = DataConfig(dataset=folder.name, data_dir=str(folder.parent), image_size=image_size)
    return len(open_images(find_source(config), "train").labels)


def _refused(folder: Path, image_size: int | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        _open(folder, image_size)
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def _lines(*images: str) -> str:
    return "".join(f"{image} 0\n" for image in images)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with an image that belongs to nobody's data set."""
    write_image(tmp_path / "private" / "deep" / "secret.png", 9)
    return tmp_path / "private"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("what", ["pipe", "device"])
def test_a_pipe_or_a_device_is_no_image(what: str, tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "lists")
    place = folder / "train" / "strange.png"
    if what == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/zero")
    (folder / "train.txt").write_text(_lines("train/strange.png"))
    message = _refused(folder)
    assert "train.txt, line 1: no image" in message
    assert (
        "it is not a regular file" if what == "pipe" else "leads out of the data set's folder, to /dev/zero"
    ) in message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_list(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "lists")
    (folder / "train.txt").unlink()
    os.mkfifo(folder / "train.txt")
    assert "train.txt cannot be read: it is not a regular file" in _refused(folder)


def test_a_nul_byte_in_a_list(tmp_path: Path) -> None:
    folder = write_lists(tmp_path / "lists")
    (folder / "train.txt").write_text("train/a\0b.png 0\n")
    message = _refused(folder)
    assert r"train/a\x00b.png (a name must not hold a NUL byte)" in message


def test_a_link_to_a_folder_leads_out_of_a_list(tmp_path: Path, outside: Path) -> None:
    folder = write_lists(tmp_path / "lists")
    (folder / "train" / "linked").symlink_to(outside / "deep")
    (folder / "train.txt").write_text(_lines("train/linked/secret.png"))
    assert f"it leads out of the data set's folder, to {outside}/deep)" in _refused(folder)


def test_a_link_to_a_file_leads_out_of_a_list(tmp_path: Path, outside: Path) -> None:
    folder = write_lists(tmp_path / "lists")
    (folder / "train" / "linked.png").symlink_to(outside / "deep" / "secret.png")
    (folder / "train.txt").write_text(_lines("train/linked.png"))
    assert "it leads out of the data set's folder" in _refused(folder)


def test_a_class_folder_that_is_a_link_leads_out(tmp_path: Path, outside: Path) -> None:
    folder = write_class_folders(tmp_path / "pets")
    (folder / "train" / "stolen").symlink_to(outside / "deep")
    assert "secret.png (it leads out of the data set's folder" in _refused(folder)


def test_links_that_stay_inside_are_followed(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "pets")
    (folder / "train" / "fox").symlink_to("cat")
    (folder / "train" / "dog" / "more.png").symlink_to("1.png")
    assert _open(folder) == 33


def test_a_data_set_and_its_splits_may_be_linked_into_place(tmp_path: Path) -> None:
    real = write_class_folders(tmp_path / "elsewhere" / "pets")
    data = tmp_path / "data"
    data.mkdir()
    (data / "whole").symlink_to(real)
    (data / "splits").mkdir()
    for split in ("train", "test"):
        (data / "splits" / split).symlink_to(real / split)
    (tmp_path / "root").symlink_to(data)
    assert _open(data / "whole") == _open(data / "splits") == _open(tmp_path / "root" / "whole") == 24


def test_images_of_a_list_may_be_linked_into_place(tmp_path: Path) -> None:
    real = write_lists(tmp_path / "elsewhere" / "imagenet")
    lists = tmp_path / "imagenet-lt"
    lists.mkdir()
    for name in ("train.txt", "test.txt", "val.txt", "train", "test", "val"):
        (lists / name).symlink_to(real / name)
    assert _open(lists) == 24


def test_a_table_of_celeba_cannot_leave_its_folder(tmp_path: Path) -> None:
    folder = write_celeba(tmp_path / "celeba")
    for table in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        text = (folder / table).read_text()
        name = next(word for word in text.split() if word.endswith(".jpg"))
        (folder / table).write_text(text.replace(name, "../../../x.png"))
    assert "expected the name of a file in img_align_celeba/, got '../../../x.png'" in _refused(folder)


@pytest.mark.parametrize("name", ["../secret.png", "..", "/etc/passwd"])
def test_annotations_cannot_leave_their_folder(name: str, tmp_path: Path) -> None:
    folder = write_tiny_imagenet(tmp_path / "tiny")
    (folder / "val" / "val_annotations.txt").write_text(f"{name}\tn01\t0\t0\t1\t1\n")
    config = DataConfig(dataset="tiny", data_dir=str(tmp_path))
    with pytest.raises(BadInput, match=r"val_annotations.txt, line 1: "):
        open_images(find_source(config), "test")


def _png(width: int, height: int, *, depth: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    """Return a PNG file of any header."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_narrow_strip_does_not_grow_into_gigabytes(tmp_path: Path) -> None:
    strip = _png(1, 60_000, colour=0, data=b"\0\x55" * 60_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for split in ("train", "test"):
        write_split(tmp_path / "strips" / f"{split}.parquet", [strip], [0])
    message = _refused(tmp_path / "strips", image_size=224)
    assert "train.parquet, row 0" in message and "at most 67,108,864 pixels are decoded, got 13440000 x 224" in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"
    assert _open(tmp_path / "strips") == 1


@pytest.mark.parametrize("size", [(60_000, 60_000), (10_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(size: tuple[int, int], tmp_path: Path) -> None:
    bomb = _png(*size, data=b"\0" * 10_000)
    for split in ("train", "test"):
        write_split(tmp_path / "bombs" / f"{split}.parquet", [bomb], [0])
    assert "do not decode" in _refused(tmp_path / "bombs", image_size=32)


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_sixteen_bits_per_channel_are_refused_in_every_colour(colour: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    with pytest.raises(ValueError, match="8 bits per channel, got 16"):
        decode_image(_png(2, 2, depth=16, colour=colour, data=(b"\0" + bytes(4 * channels)) * 2))


@pytest.mark.parametrize("cut", [9, 20, 24, 25, 40])
def test_a_png_cut_in_its_header_is_an_error_of_its_row(cut: int, tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_split(tmp_path / "cut" / f"{split}.parquet", [_png(2, 2, data=b"\0" * 14)[:cut]], [0])
    assert "row 0" in _refused(tmp_path / "cut")


def test_class_names_that_are_no_text(tmp_path: Path, grey: Callable[[], bytes]) -> None:
    folder = tmp_path / "names"
    folder.mkdir()
    table = pa.table({"image": pa.array([grey()], pa.binary()), "label": pa.array([0])})
    for split in ("train", "test"):
        pq.write_table(table.replace_schema_metadata({b"classes": b"caf\xe9"}), folder / f"{split}.parquet")
    assert "train.parquet: the class names in `classes` are not text in UTF-8" in _refused(folder)


def test_a_class_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "pets")
    os.rename(os.fsencode(folder / "train" / "cat"), os.fsencode(folder / "train") + b"/caf\xe9")
    assert r"the class name 'caf\udce9' is not text in UTF-8" in _refused(folder)


def test_a_file_whose_name_is_no_text_is_read(tmp_path: Path) -> None:
    folder = write_class_folders(tmp_path / "pets")
    inside = os.fsencode(folder / "train" / "cat")
    os.rename(inside + b"/1.png", inside + b"/caf\xe9.png")
    assert _open(folder) == 24


@pytest.fixture
def grey() -> Callable[[], bytes]:
    import numpy as np

    return lambda: encode(np.zeros((4, 4), np.uint8))
