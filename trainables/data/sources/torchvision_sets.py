"""MNIST, Fashion-MNIST, CIFAR-10, CIFAR-100 and SVHN through torchvision, downloaded if missing."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainables.core.errors import BadInput
from trainables.core.kernel_lock import KernelLock
from trainables.data.catalog import DATASETS
from trainables.data.sources.source import LabelledImages, SplitName

# name -> torchvision's class and the location of its files under a root
_CLASSES = {
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion-mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
    "cifar100": ("CIFAR100", "cifar-100-python"),
    "svhn": ("SVHN", "{split}_32x32.mat"),
}
_NETWORK_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True)
class TorchvisionSet:
    """A published data set that torchvision downloads and reads.

    Files are searched under ``data_dir`` (torchvision's layout), then under ``download_dir``, the download target.
    torchvision verifies the published MD5 of CIFAR and SVHN files before reading them, which matters because CIFAR's
    are pickles.
    """

    dataset: str
    data_dir: Path | None
    download_dir: Path
    has_validation: bool = False

    def key(self, split: SplitName) -> str:
        """Hash the name: a published data set does not change, so decoded images stay valid without its files."""
        return hashlib.sha256(f"torchvision {self.dataset} {split}".encode()).hexdigest()

    def read(self, split: SplitName) -> LabelledImages:
        """Read a split, downloading it first if it is not on this machine.

        Raises:
            BadInput: if the files are incomplete, or missing and not downloadable; the message gives remedies.
        """
        for root in (self.data_dir, self.download_dir / self.dataset):
            if root is not None and self._files(root, split).exists():
                return self._read_from(root, split)
        self._download()
        return self._read_from(self.download_dir / self.dataset, split)

    def _files(self, root: Path, split: SplitName) -> Path:
        return root / _CLASSES[self.dataset][1].format(split=split)

    def _read_from(self, root: Path, split: SplitName) -> LabelledImages:
        try:
            found = self._torchvision(root, split, download=False)
        except Exception as error:  # RuntimeError, EOFError and more, all of which mean broken files
            raise BadInput(
                f"{self._files(root, split)}: the files of {self.dataset} are incomplete or cut off "
                f"({error}); remove them to download them again, or replace them by complete ones"
            ) from error
        result = _as_arrays(found, DATASETS[self.dataset].class_names)
        self._check_shape(result, root, split)
        return result

    def _torchvision(self, root: Path, split: SplitName, download: bool) -> Any:
        from torchvision import datasets

        known = getattr(datasets, _CLASSES[self.dataset][0])
        if self.dataset == "svhn":
            return known(root, split=split, download=download)
        return known(root, train=split == "train", download=download)

    def _check_shape(self, read: LabelledImages, root: Path, split: SplitName) -> None:
        known = DATASETS[self.dataset]
        rows = known.train_images if split == "train" else known.test_images
        if read.images.shape != (rows, *known.image_shape) or read.labels.shape != (rows,):
            raise BadInput(
                f"{self._files(root, split)}: expected {rows} images of shape {known.image_shape} with as "
                f"many labels, got images {read.images.shape} and labels {read.labels.shape}"
            )

    def _download(self) -> None:
        # Downloads go to a partial folder that is renamed when complete, so a killed download never looks complete.
        target = self.download_dir / self.dataset
        partial = self.download_dir / f"{self.dataset}.partial"
        self.download_dir.mkdir(parents=True, exist_ok=True)
        with KernelLock(self.download_dir / f"{self.dataset}.lock"):
            if self._files(target, "train").exists() and self._files(target, "test").exists():
                return  # another process was faster
            shutil.rmtree(partial, ignore_errors=True)
            try:
                with _network_timeout():
                    self._torchvision(partial, "train", download=True)
                    self._torchvision(partial, "test", download=True)
            except Exception as error:  # URLError, RuntimeError, timeouts, a full disk
                shutil.rmtree(partial, ignore_errors=True)
                raise BadInput(self._ways_out(error)) from error
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)

    def _ways_out(self, error: Exception) -> str:
        root = self.data_dir or Path("DIR")
        reason = str(error).strip().replace("\n", " ")
        return (
            f"{self.dataset} is not on this machine and could not be downloaded to {self.download_dir} "
            f"({reason}). Two ways out: (1) run again with a network; (2) put the images in a folder DIR, named "
            "by --data-dir or STUDY_DATA_DIR, as Parquet files "
            f"{root / self.dataset / 'train.parquet'} and test.parquet, or as torchvision's own files "
            f"{self._files(root, 'train')}"
        )


def _as_arrays(found: Any, class_names: tuple[str, ...]) -> LabelledImages:
    images = np.asarray(found.data)
    if images.ndim == 3:  # (N, H, W): grey
        images = images[:, None]
    elif images.shape[-1] == 3:  # (N, H, W, 3): CIFAR; SVHN is (N, 3, H, W) already
        images = images.transpose(0, 3, 1, 2)
    labels = found.labels if hasattr(found, "labels") else found.targets
    return LabelledImages(np.ascontiguousarray(images), np.asarray(labels, np.int64), class_names)


@contextmanager
def _network_timeout() -> Iterator[None]:
    # torchvision sets no timeout: behind a firewall that drops packets it would hang for minutes.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_NETWORK_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
