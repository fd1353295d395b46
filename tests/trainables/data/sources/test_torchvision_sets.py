"""torchvision's sets: offline, broken, downloaded once, and behind Parquet folders of the same name."""

from __future__ import annotations

import gzip
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torchvision

from tests.trainables.data.made_images import write_folder
from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data import DATASETS, load, prepare
from trainables.data.sources.torchvision_sets import TorchvisionSet

NATURAL: Any = {"kind": "natural"}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def write_idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


@pytest.fixture
def mnist_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write an MNIST of 60 + 20 images as torchvision lays it out; return the root."""
    monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], train_images=60, test_images=20))
    for name, rows in (("train", 60), ("t10k", 20)):
        raw = tmp_path / "data" / "MNIST" / "raw"
        images = np.arange(rows, dtype=np.uint8)[:, None, None] + np.zeros((1, 28, 28), np.uint8)
        write_idx(raw / f"{name}-images-idx3-ubyte", images)
        write_idx(raw / f"{name}-labels-idx1-ubyte", np.arange(rows) % 10)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("dataset", "files"),
    [
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("cifar10", "cifar-10-batches-py"),
        ("cifar100", "cifar-100-python"),
        ("svhn", "train_32x32.mat"),
    ],
)
def test_without_files_and_network_both_ways_out_are_named(
    offline: None, tmp_path: Path, cache_folder: Path, dataset: str, files: str
) -> None:
    with pytest.raises(BadInput) as caught:
        prepare(DataConfig(dataset=dataset, data_dir=str(tmp_path)))
    said = str(caught.value)
    assert said.startswith(f"{dataset} is not on this machine") and "no network" in said and "\n" not in said
    assert "run again with a network" in said and "--data-dir" in said and "STUDY_DATA_DIR" in said
    assert str(tmp_path / dataset / "train.parquet") in said and str(tmp_path / files) in said
    assert not list((cache_folder / "torchvision").glob("*.partial"))


def test_without_a_data_folder_the_message_still_shows_the_paths(offline: None) -> None:
    with pytest.raises(BadInput, match=r"DIR/mnist/train\.parquet and test\.parquet.* DIR/MNIST/raw$"):
        prepare(DataConfig(dataset="mnist"))


def test_torchvision_files_of_the_data_folder_are_read(offline: None, mnist_files: Path) -> None:
    data = load(DataConfig(dataset="mnist", data_dir=str(mnist_files), profile=NATURAL, protocol="m2m"))
    assert data.train.images[:, 0, 5, 5].tolist() == list(range(60))
    assert data.train.labels.tolist() == [row % 10 for row in range(60)]
    assert data.class_names == tuple("0123456789")
    assert len(data.validation.labels) + len(data.test().labels) == 20


def test_a_cut_off_file_is_named(offline: None, mnist_files: Path) -> None:
    path = mnist_files / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(BadInput, match=r"MNIST/raw: the files of mnist are incomplete or cut off"):
        prepare(DataConfig(dataset="mnist", data_dir=str(mnist_files)))


def test_a_missing_file_is_not_mistaken_for_a_missing_set(offline: None, mnist_files: Path) -> None:
    (mnist_files / "MNIST" / "raw" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(BadInput, match="incomplete or cut off"):
        prepare(DataConfig(dataset="mnist", data_dir=str(mnist_files)))


def test_files_of_another_set_are_refused(offline: None, mnist_files: Path) -> None:
    write_idx(mnist_files / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.zeros(59))
    with pytest.raises(BadInput, match=r"expected 60 images .* labels \(59,\)"):
        prepare(DataConfig(dataset="mnist", data_dir=str(mnist_files)))


def test_cifar_files_that_fail_their_checksum_are_never_unpickled(offline: None, tmp_path: Path) -> None:
    import pickle

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "attacked",))

    folder = tmp_path / "data" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Attack()))
    with pytest.raises(BadInput, match="incomplete or cut off"):
        prepare(DataConfig(dataset="cifar10", data_dir=str(folder.parent)))
    assert not (tmp_path / "attacked").exists()


def test_a_parquet_folder_wins(offline: None, mnist_files: Path) -> None:
    write_folder(mnist_files / "mnist", (9, 9), (3, 3))
    summary = prepare(DataConfig(dataset="mnist", data_dir=str(mnist_files), profile=NATURAL))
    assert summary.image_shape == (1, 6, 5) and summary.class_counts == (8, 8)


class FakeCifar:
    """Stands in for torchvision's CIFAR10: writes a file when told to download, reads it otherwise."""

    downloads: list[Path] = []  # noqa: RUF012
    broken_once = False

    def __init__(self, root: Path, train: bool, download: bool) -> None:
        files = Path(root) / "cifar-10-batches-py"
        if download:
            files.mkdir(parents=True, exist_ok=True)
            (files / "all").write_bytes(b"images")
            if FakeCifar.broken_once:
                FakeCifar.broken_once = False
                raise KeyboardInterrupt
            FakeCifar.downloads.append(Path(root))
        if not (files / "all").exists():
            raise RuntimeError("Dataset not found or corrupted.")
        rows = 40 if train else 20
        self.data = np.zeros((rows, 32, 32, 3), np.uint8)
        self.data[:, 0, 1, 2] = np.arange(rows)
        self.targets = [row % 10 for row in range(rows)]


@pytest.fixture
def fake_cifar(monkeypatch: pytest.MonkeyPatch) -> type[FakeCifar]:
    monkeypatch.setitem(DATASETS, "cifar10", replace(DATASETS["cifar10"], train_images=40, test_images=20))
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", FakeCifar)
    FakeCifar.downloads = []
    return FakeCifar


CIFAR = DataConfig(dataset="cifar10", profile=NATURAL, protocol="test-select")


def test_a_download_is_made_once_into_the_cache_folder(fake_cifar: type[FakeCifar], cache_folder: Path) -> None:
    prepare(CIFAR)
    prepare(CIFAR)
    assert len(fake_cifar.downloads) == 2  # train and test, both in one go
    assert (cache_folder / "torchvision" / "cifar10" / "cifar-10-batches-py" / "all").exists()
    assert not list((cache_folder / "torchvision").glob("*.partial"))
    data = load(CIFAR)
    assert data.train.images.shape == (40, 3, 32, 32)
    assert data.train.images[:, 2, 0, 1].tolist() == list(range(40))


def test_a_download_that_was_broken_off_starts_again(
    fake_cifar: type[FakeCifar], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_cifar, "broken_once", True)
    with pytest.raises(KeyboardInterrupt):
        prepare(CIFAR)
    assert sum(prepare(CIFAR).class_counts) == 40


def test_the_network_timeout_is_put_back(fake_cifar: type[FakeCifar]) -> None:
    import socket

    before = socket.getdefaulttimeout()
    prepare(CIFAR)
    assert socket.getdefaulttimeout() == before


def test_svhn_keeps_its_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeSvhn:
        def __init__(self, root: Path, split: str, download: bool) -> None:
            self.data = np.zeros((30, 3, 32, 32), np.uint8)
            self.data[:, 1, 2, 3] = np.arange(30)
            self.labels = np.arange(30) % 10

    monkeypatch.setitem(DATASETS, "svhn", replace(DATASETS["svhn"], train_images=30, test_images=30))
    monkeypatch.setattr(torchvision.datasets, "SVHN", FakeSvhn)
    (tmp_path / "train_32x32.mat").write_bytes(gzip.compress(b""))
    read = TorchvisionSet("svhn", tmp_path, tmp_path / "download").read("train")
    assert read.images[:, 1, 2, 3].tolist() == list(range(30)) and read.class_names == tuple("0123456789")
