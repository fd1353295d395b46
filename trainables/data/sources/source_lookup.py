"""Lookup of a data set's source by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from trainables.core.config import DataConfig
from trainables.core.errors import BadInput, unknown_name
from trainables.core.hf_name import is_hf
from trainables.core.paths import data_folder_named
from trainables.data.catalog import DATASETS
from trainables.data.sources.celeba import ATTRIBUTES, CelebA5
from trainables.data.sources.class_folders import ClassFolders
from trainables.data.sources.digits import Digits
from trainables.data.sources.drawn_test import DrawnTest
from trainables.data.sources.flat_folders import FlatFolders, is_flat
from trainables.data.sources.hf_folder import hf_is_here, hf_source
from trainables.data.sources.image_cache import cache_dir
from trainables.data.sources.list_files import ListFiles, list_prefixes
from trainables.data.sources.own_dataset import OwnSource, plugged_dataset, plugged_datasets
from trainables.data.sources.parquet_folder import UNSPLIT, ParquetFolder
from trainables.data.sources.resized import Resized
from trainables.data.sources.source import Source
from trainables.data.sources.torchvision_sets import TorchvisionSet

FolderKind = Literal["parquet", "lists", "celeba", "folders", "unsplit parquet", "flat folders"]
FOLDER_KINDS: dict[FolderKind, Callable[[str, Path, int | None, DrawnTest], Source]] = {
    "parquet": lambda name, folder, size, _: ParquetFolder(name, folder, size),
    "lists": lambda name, folder, size, _: ListFiles(name, folder, size),
    "celeba": lambda name, folder, size, _: CelebA5(name, folder, size),
    "folders": lambda name, folder, size, _: ClassFolders(name, folder, size),
    "unsplit parquet": ParquetFolder,
    "flat folders": FlatFolders,
}
"""How each kind is read. The last argument draws test images, for the kinds that have no test split."""

WITHOUT_TEST: tuple[FolderKind, ...] = ("unsplit parquet", "flat folders")
"""Kinds whose test images are drawn."""


def find_source(config: DataConfig) -> Source:
    """Return the source of a data set without opening an image file.

    A data set of a plug-in comes first. A folder ``<data_dir>/<dataset>/`` of a kind in `FOLDER_KINDS` takes precedence
    over the names of `DATASETS`.

    Args:
        config: ``dataset``, ``data_dir`` and ``image_size`` are used; ``data_dir`` defaults to the environment
            variable STUDY_DATA_DIR.

    Raises:
        BadInput: if the name is unknown, the data folder does not exist, the data set's folder lacks a file, or test
            images shall be drawn from a data set that has a test split.
    """
    draw = DrawnTest(config.test_fraction, config.test_seed)
    source = _source(config, draw)
    if draw != DrawnTest(*_DEFAULT_DRAW) and getattr(source, "draw", None) is None:
        key, value = next(
            (key, getattr(config, key))
            for key, usual in zip(_DRAW_KEYS, _DEFAULT_DRAW, strict=True)
            if getattr(config, key) != usual
        )
        raise BadInput(
            f"`{key}` {value:g} is for a data set without a test split (docs/data.md), and {config.dataset} has one: "
            f"leave it out"
        )
    return source


_DRAW_KEYS = ("test_fraction", "test_seed")
_DEFAULT_DRAW = tuple(DataConfig.model_fields[key].default for key in _DRAW_KEYS)


def _source(config: DataConfig, draw: DrawnTest) -> Source:
    root = data_dir(config)
    own = plugged_dataset(config.dataset)
    if own is not None:
        source = OwnSource(own, root)
        return source if config.image_size is None else Resized(source, config.image_size)
    if is_hf(config.dataset):
        return hf_source(config.dataset, root, config.image_size, draw)
    folder = None if root is None else _folder(root, config.dataset)
    kind = None if folder is None else folder_kind(folder)
    if folder is not None and kind is None and _is_saved(folder):
        raise BadInput(f"{folder} was saved by `datasets`: name it as hf:{config.dataset} (docs/data.md)")
    if folder is not None and kind is not None:
        return FOLDER_KINDS[kind](config.dataset, folder, config.image_size, draw)
    if config.dataset in DATASETS:
        known = Digits() if config.dataset == "digits" else _torchvision_set(config.dataset, root)
        return known if config.image_size is None else Resized(known, config.image_size)
    if folder is not None:
        raise BadInput(
            f"{folder} holds no data set: expected train.parquet with test.parquet, train.txt or NAME_train.txt, "
            f"{ATTRIBUTES}, a folder train of class folders, or without a test split {UNSPLIT} or two or more class "
            f"folders of images (docs/data.md)"
        )
    unknown = unknown_name("data set", config.dataset, dataset_names(root))
    raise BadInput(f"{unknown}. {_searched(root)}")


def is_here(config: DataConfig) -> bool:
    """Return True if a data set need not be fetched to look at it: a folder, built in, or converted from ``hf:...``.

    Raises:
        BadInput: if the name begins with ``hf:`` and is not of that form.
    """
    if plugged_dataset(config.dataset) is not None or config.dataset in DATASETS:
        return True
    try:
        root = data_dir(config)
    except BadInput:
        return False
    if is_hf(config.dataset):
        return hf_is_here(config.dataset, root)
    return root is not None and _folder(root, config.dataset) is not None


def folder_of(config: DataConfig) -> Path:
    """Return the folder of a data set, whatever it holds.

    Raises:
        BadInput: if the data folder has no such folder.
    """
    root = data_dir(config)
    folder = None if root is None else _folder(root, config.dataset)
    if folder is None:
        raise BadInput(f"there is no folder '{config.dataset}' of images. {_searched(root)}")
    return folder


def data_dir(config: DataConfig) -> Path | None:
    """Return the data folder named by ``config`` or the environment, None if neither names one.

    Raises:
        BadInput: if the folder does not exist or the name cannot be a folder's.
    """
    written = config.data_dir or os.environ.get("STUDY_DATA_DIR")
    if not written:
        return None
    origin = "`data_dir`" if config.data_dir else "STUDY_DATA_DIR"
    return data_folder_named(written, origin)


def dataset_names(root: Path | None) -> set[str]:
    """Return the names that a data set may have: of `DATASETS`, of plug-ins and of the folders below a data folder."""
    return {*DATASETS, *folder_datasets(root), *(own.name for own in plugged_datasets())}


def folder_datasets(root: Path | None) -> dict[str, FolderKind]:
    """Return name and kind of the data sets under a data folder, sorted by name; opens no file."""
    if root is None:
        return {}
    found = {path.name: _kind(path) for path in sorted(root.iterdir()) if path.is_dir()}
    return {name: kind for name, kind in found.items() if kind is not None}


def folder_kind(folder: Path) -> FolderKind | None:
    """Return the first kind of `FOLDER_KINDS` that matches a folder, None if none does.

    Raises:
        BadInput: if the folder has only one of the two files of a Parquet data set.
    """
    kind = _kind(folder)
    missing = [folder / f"{split}.parquet" for split in ("train", "test")]
    missing = [file for file in missing if not file.is_file()]
    if len(missing) == 1 and kind in ("parquet", None):
        raise BadInput(
            f"{missing[0]} does not exist; a Parquet data set has train.parquet and test.parquet, or {UNSPLIT} "
            f"alone if test images are to be drawn from it (docs/data.md)"
        )
    return kind


def _kind(folder: Path) -> FolderKind | None:
    if (folder / "train.parquet").is_file():
        return "parquet"
    if list_prefixes(folder):
        return "lists"
    if (folder / ATTRIBUTES).is_file():
        return "celeba"
    if _is_saved(folder):
        return None
    if (folder / "train").is_dir():
        return "folders"
    if (folder / UNSPLIT).is_file():
        return "unsplit parquet"
    return "flat folders" if is_flat(folder) else None


def _is_saved(folder: Path) -> bool:
    """Return True for a folder of `save_to_disk`, whose splits look like folders of classes."""
    one = (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()
    return one or (folder / "dataset_dict.json").is_file()


def _folder(root: Path, dataset: str) -> Path | None:
    if dataset in ("", ".", "..") or Path(dataset).name != dataset:
        return None  # must be a name, not a path that leaves the data folder
    return root / dataset if (root / dataset).is_dir() else None


def _searched(root: Path | None) -> str:
    if root is None:
        return "No data folder is given; name one with --data-dir DIR or STUDY_DATA_DIR"
    return f"Searched the data folder {root}"


def _torchvision_set(dataset: str, root: Path | None) -> TorchvisionSet:
    return TorchvisionSet(dataset, root, cache_dir() / "torchvision")
