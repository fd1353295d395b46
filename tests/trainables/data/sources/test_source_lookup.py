"""From a name to a source, and the table of named data sets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.trainables.data.made_images import write_folder
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import DATASETS, default_augmentation, prepare
from trainables.data.sources.digits import Digits
from trainables.data.sources.parquet_folder import ParquetFolder
from trainables.data.sources.source_lookup import find_source, folder_datasets
from trainables.data.sources.torchvision_sets import TorchvisionSet

Configure = Callable[..., DataConfig]


def test_names_lead_to_sources(shapes: Configure) -> None:
    assert isinstance(find_source(shapes()), ParquetFolder)
    assert isinstance(find_source(DataConfig(dataset="digits")), Digits)
    assert isinstance(find_source(DataConfig(dataset="svhn")), TorchvisionSet)


def test_the_environment_names_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "own", (2, 2), (1, 1))
    monkeypatch.setenv("STUDY_DATA_DIR", str(tmp_path))
    assert find_source(DataConfig(dataset="own")) == ParquetFolder("own", tmp_path / "own")
    assert folder_datasets(tmp_path) == {"own": "parquet"}


def test_an_unknown_name_gets_the_nearest(shapes: Configure) -> None:
    with pytest.raises(BadInput, match=r"unknown data set 'shape'; did you mean 'shapes'\? Allowed: cifar10, "):
        prepare(shapes(dataset="shape"))
    with pytest.raises(BadInput, match=r"unknown data set 'cifar-10'; did you mean 'cifar10'\?"):
        prepare(DataConfig(dataset="cifar-10"))


def test_an_unknown_name_is_told_with_the_folder_that_was_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUDY_DATA_DIR", raising=False)
    with pytest.raises(
        BadInput, match=r"^unknown data set 'pets'\. Allowed: cifar10.*--data-dir DIR or STUDY_DATA_DIR$"
    ):
        prepare(DataConfig(dataset="pets"))
    with pytest.raises(
        BadInput, match=rf"^unknown data set 'pets'\. Allowed: .*\. Searched the data folder {tmp_path}$"
    ):
        prepare(DataConfig(dataset="pets", data_dir=str(tmp_path)))
    monkeypatch.setenv("STUDY_DATA_DIR", str(tmp_path))
    with pytest.raises(BadInput, match=rf"Searched the data folder {tmp_path}$"):
        prepare(DataConfig(dataset="pets"))


@pytest.mark.parametrize("name", ["../data/shapes", "", ".", "/etc", "a/b"])
def test_a_name_is_never_a_path(shapes: Configure, name: str) -> None:
    with pytest.raises(BadInput, match="unknown data set"):
        find_source(shapes(dataset=name))


def test_a_data_folder_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=rf"`data_dir` names {tmp_path}/none, which is not a folder"):
        prepare(DataConfig(dataset="digits", data_dir=str(tmp_path / "none")))
    monkeypatch.setenv("STUDY_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(BadInput, match="STUDY_DATA_DIR names"):
        prepare(DataConfig(dataset="digits"))


def test_the_table_is_consistent() -> None:
    assert sorted(DATASETS) == ["cifar10", "cifar100", "digits", "fashion-mnist", "mnist", "svhn"]
    for name, known in DATASETS.items():
        assert known.classes == len(set(known.class_names)) == (100 if name == "cifar100" else 10)
        assert known.image_shape[0] in (1, 3) and known.train_images > known.test_images > 0
        assert known.title and known.citation
        assert default_augmentation(name, 1) == default_augmentation(name, 3) == known.augmentation
    assert [default_augmentation(name) for name in ("digits", "mnist", "fashion-mnist", "cifar10", "svhn")] == [
        "none", "none", "crop-flip", "crop-flip", "crop",
    ]  # fmt: skip


def test_neither_import_nor_prepare_loads_the_heavy_packages(shapes: Configure) -> None:
    program = f"""
import sys
heavy = {{"torch", "torchvision", "sklearn", "scipy", "pyarrow", "PIL"}}
from trainables.core.config import DataConfig
from trainables.data import DATASETS, default_augmentation, load, prepare, summarize
assert not heavy & set(sys.modules), heavy & set(sys.modules)
prepare(DataConfig.model_validate_json({shapes().model_dump_json()!r}))
assert not {{"torch", "torchvision", "sklearn"}} & set(sys.modules)
"""
    root = Path(__file__).resolve().parents[4]
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120, cwd=root)
