"""Data sets without a test split: which test images are drawn, what is said of it, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainables.data.written_sets import write_image
from trainables.core.config import DataConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.data import load, prepare
from trainables.data.sources.drawn_test import DrawnTest
from trainables.data.sources.source import other_test_of
from trainables.data.sources.source_lookup import find_source, folder_datasets, folder_kind
from trainables.testing import check_dataset


def write_flat(folder: Path, order: int = 1) -> Path:
    """Write <class>/<image>: 10 roses, 15 tulips and 20 lilies, each of a colour of its own."""
    for k, (name, images) in enumerate([("rose", 10), ("tulip", 15), ("lily", 20)][::order]):
        for i in list(range(images))[::order]:
            write_image(folder / name / f"{i}.png", {"rose": 0, "tulip": 80, "lily": 160}[name] + i + 0 * k)
    return folder


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    return write_flat(tmp_path / "data" / "flowers")


def config(folder: Path, **changes: Any) -> DataConfig:
    given = {"dataset": folder.name, "data_dir": str(folder.parent), "profile": {"kind": "natural"}}
    return DataConfig.model_validate({**given, **changes})


def colours(folder: Path, split: str, **changes: Any) -> list[int]:
    read = find_source(config(folder, **changes)).read(split)
    return sorted(read.images[:, 0, 0, 0].tolist())


def test_a_share_of_every_class_is_drawn_and_the_rest_trains(flowers: Path) -> None:
    source = find_source(config(flowers))
    train, test = source.read("train"), source.read("test")
    assert train.class_names == test.class_names == ("lily", "rose", "tulip")
    assert np.bincount(test.labels).tolist() == [4, 2, 3] and np.bincount(train.labels).tolist() == [16, 8, 12]
    every = sorted(colours(flowers, "train") + colours(flowers, "test"))
    assert every == [
        *range(10),
        *range(80, 95),
        *range(160, 180),
    ]
    check_dataset("flowers", flowers.parent)


def test_the_draw_is_the_same_on_every_machine() -> None:
    """The bits of the draw are part of every result: this must never change."""
    labels, keys = np.zeros(10, np.int64), [f"rose/{i}.png".encode() for i in range(10)]
    assert np.flatnonzero(DrawnTest(0.3, 0).rows(keys, labels, ["rose"], "here")).tolist() == ROSES


ROSES = [0, 5, 9]
r"""The three first of `printf "test split 0\0rose/$i.png" | sha256sum` for i in 0..9."""


def test_neither_order_of_files_nor_other_seeds_matter(flowers: Path, tmp_path: Path) -> None:
    drawn = colours(flowers, "test")
    assert colours(write_flat(tmp_path / "other" / "flowers", order=-1), "test") == drawn
    assert colours(flowers, "test", subset_seed=3) == drawn
    assert colours(flowers, "test", test_seed=1) != drawn
    assert set(drawn) < set(colours(flowers, "test", test_fraction=0.4))


def test_a_new_image_moves_at_most_one_other(flowers: Path) -> None:
    before = set(colours(flowers, "test"))
    write_image(flowers / "rose" / "new.png", 70)
    after = set(colours(flowers, "test"))
    assert len(after - before) <= 1 and len(before - after) <= 1


def test_what_is_said_and_in_the_fingerprint(flowers: Path) -> None:
    summary, data = prepare(config(flowers)), load(config(flowers))
    assert summary.other_test == data.other_test and summary.fingerprint == data.fingerprint
    assert summary.other_test.said == (
        "no test split of its own: 9 of its 45 images, 20 % of every class, are drawn as test images by test_seed 0"
    )
    assert summary.other_test.recorded == "drawn: 20 % of every class, test_seed 0"
    assert prepare(config(flowers, test_seed=1)).fingerprint != summary.fingerprint
    test = data.test()
    assert len(test.labels) == 9
    assert other_test_of(find_source(DataConfig(dataset="digits"))) is None


def test_defaults_leave_the_fingerprint_of_a_trial_as_it_was() -> None:
    def digest(**changes: Any) -> str:
        return TrialConfig.model_validate(
            {"data": {"dataset": "x", **changes}, "method": {"name": "erm"}}
        ).fingerprint()

    assert digest() == digest(test_fraction=0.2, test_seed=0) != digest(test_fraction=0.3)
    assert digest() != digest(test_seed=1)


def test_a_class_with_too_few_images(flowers: Path) -> None:
    for i in range(4, 10):
        (flowers / "rose" / f"{i}.png").unlink()
    with pytest.raises(BadInput) as caught:
        prepare(config(flowers))
    assert str(caught.value) == (
        f"{flowers} has no test split, and `test_fraction` 0.2 draws no test image of class 1 ('rose'), which has 4: "
        "it needs 5. Raise `test_fraction`, leave the class out, or bring a test split (docs/data.md)"
    )
    assert len(load(config(flowers, test_fraction=0.25)).test().labels) == 5 + 1 + 3


def test_no_draw_from_a_data_set_with_a_test_split() -> None:
    with pytest.raises(BadInput, match=r"`test_fraction` 0.5 is for a data set without a test split .* digits has one"):
        find_source(DataConfig(dataset="digits", test_fraction=0.5))
    with pytest.raises(BadInput, match="`test_seed` 2 is for"):
        find_source(DataConfig(dataset="digits", test_seed=2))


def test_a_folder_of_a_split_among_the_classes(flowers: Path) -> None:
    write_image(flowers / "test" / "0.png", 3)
    with pytest.raises(BadInput, match=r"test: class folders lie in flowers/<class>/, or in train/<class>/ and test/"):
        find_source(config(flowers)).read("train")


def test_kinds(flowers: Path, tmp_path: Path) -> None:
    assert folder_datasets(tmp_path / "data") == {"flowers": "flat folders"}
    shutil.copytree(flowers / "rose", flowers / "train" / "rose")
    assert folder_kind(flowers) == "folders"
    (tmp_path / "data" / "texts" / "a").mkdir(parents=True)
    (tmp_path / "data" / "texts" / "b").mkdir()
    write_image(tmp_path / "data" / "faces" / "all" / "0.png", 1)  # one folder is no data set
    assert list(folder_datasets(tmp_path / "data")) == ["flowers"]
    with pytest.raises(BadInput, match=r"two or more class folders of images"):
        find_source(config(tmp_path / "data" / "texts"))


def test_a_published_validation_split_is_not_drawn(flowers: Path) -> None:
    with pytest.raises(BadInput, match="flowers has none"):
        prepare(config(flowers, protocol="published"))


@pytest.mark.parametrize("vectors", [False, True])
def test_parquet_without_a_test_split(tmp_path: Path, vectors: bool) -> None:
    folder = tmp_path / "data" / "unsplit"
    folder.mkdir(parents=True)
    rows = np.random.default_rng(0).permutation(40)
    for name, order in (("a", np.arange(40)), ("b", rows)):
        images = [write_image(tmp_path / f"{i}.png", 5 * i).read_bytes() for i in order]
        content = {"features": [[float(i), 1.0] for i in order]} if vectors else {"image": images}
        table = pa.table({**content, "label": pa.array(order % 2)})
        (tmp_path / "data" / name).mkdir()
        pq.write_table(table.replace_schema_metadata({"classes": "even,odd"}), tmp_path / "data" / name / "all.parquet")
    a, b = (find_source(config(tmp_path / "data" / name)) for name in ("a", "b"))
    drawn = [sorted(np.ravel(source.read("test").images[:, 0, 0, 0]).tolist()) for source in (a, b)]
    assert len(drawn[0]) == 8 and drawn[0] == drawn[1]
    train = a.read("train")
    assert train.class_names == ("even", "odd") and len(train.labels) == 32
    assert not set(drawn[0]) & set(np.ravel(train.images[:, 0, 0, 0]).tolist())
    assert prepare(config(tmp_path / "data" / "a")).other_test.recorded == "drawn: 20 % of every class, test_seed 0"
    check_dataset("a", tmp_path / "data")


def test_an_unsplit_image_that_does_not_decode_is_named_by_its_row(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "broken"
    folder.mkdir(parents=True)
    images = [write_image(tmp_path / f"{i}.png", 5 * i).read_bytes() for i in range(20)]
    images[7] = b"no image"
    pq.write_table(pa.table({"image": images, "label": [i % 2 for i in range(20)]}), folder / "all.parquet")
    with pytest.raises(BadInput, match=r"all.parquet, row 7 \(counted from 0\): expected a whole PNG or JPEG"):
        prepare(config(folder))


def test_class_names_with_commas(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "fish"
    folder.mkdir(parents=True)
    table = pa.table({"features": [[1.0], [2.0]], "label": [0, 1]})
    for split in ("train", "test"):
        pq.write_table(
            table.replace_schema_metadata({"class_names": '["tench, Tinca tinca", "goldfish"]'}),
            folder / f"{split}.parquet",
        )
    assert find_source(config(folder)).read("test").class_names == ("tench, Tinca tinca", "goldfish")
    pq.write_table(table.replace_schema_metadata({"class_names": "tench"}), folder / "train.parquet")
    with pytest.raises(BadInput, match="must be a list of texts in JSON, got"):
        find_source(config(folder)).read("train")
