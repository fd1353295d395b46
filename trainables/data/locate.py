"""From the name of a data set to where its images come from."""

from __future__ import annotations

import os
from pathlib import Path

from trainables.config import DataConfig
from trainables.data.cache import cache_dir
from trainables.data.catalog import DATASETS
from trainables.data.digits import Digits
from trainables.data.parquet_folder import ParquetFolder
from trainables.data.source import Source
from trainables.data.torchvision_sets import TorchvisionSet
from trainables.errors import BadInput, unknown_name


def find_source(config: DataConfig) -> Source:
    """Find where a data set's images come from; opens no image file.

    A Parquet folder ``<data_dir>/<dataset>/`` wins, whatever the name; then come the names of `DATASETS`.

    Args:
        config: ``dataset`` and ``data_dir`` are looked at; without ``data_dir`` the environment's
            STUDY_DATA_DIR counts.

    Raises:
        BadInput: the name is unknown, the data folder does not exist, or a Parquet folder lacks a file.
    """
    root = data_dir(config)
    folder = None if root is None else _parquet_folder(root, config.dataset)
    if folder is not None:
        return ParquetFolder(config.dataset, folder)
    if config.dataset == "digits":
        return Digits()
    if config.dataset in DATASETS:
        return TorchvisionSet(config.dataset, root, cache_dir() / "torchvision")
    raise unknown_name("data set", config.dataset, {*DATASETS, *parquet_datasets(root)})


def data_dir(config: DataConfig) -> Path | None:
    """Return the data folder named by ``config`` or the environment, None if neither names one.

    Raises:
        BadInput: it does not exist.
    """
    written = config.data_dir or os.environ.get("STUDY_DATA_DIR")
    if not written:
        return None
    root = Path(written).expanduser()
    if not root.is_dir():
        origin = "`data_dir`" if config.data_dir else "STUDY_DATA_DIR"
        raise BadInput(f"{origin} names {root}, which is not a folder; expected a folder of data sets")
    return root


def parquet_datasets(root: Path | None) -> tuple[str, ...]:
    """Return the names of the Parquet folders under a data folder, sorted."""
    if root is None:
        return ()
    return tuple(sorted(path.parent.name for path in root.glob("*/train.parquet")))


def _parquet_folder(root: Path, dataset: str) -> Path | None:
    if dataset in ("", ".", "..") or Path(dataset).name != dataset:
        return None  # a name, never a path out of the data folder
    files = [root / dataset / "train.parquet", root / dataset / "test.parquet"]
    missing = [file for file in files if not file.is_file()]
    if len(missing) == 2:
        return None
    if missing:
        raise BadInput(f"{missing[0]} does not exist; a Parquet data set has train.parquet and test.parquet")
    return root / dataset
