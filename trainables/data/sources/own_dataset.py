"""A data set as one object of the user's own: a name, and a function that reads a split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.core.errors import BadInput
from trainables.core.plugin_table import Table, code_of
from trainables.data.catalog import DATASETS
from trainables.data.sources.source import LabelledImages, SplitName


@dataclass(frozen=True, kw_only=True)
class OwnDataset:
    """A data set of a plug-in.

    Attributes:
        name: its name in study files.
        read: returns a split, ``train``, ``test`` or ``validation``, from the data folder (``data_dir`` of the study
            file, ``--data-dir`` or STUDY_DATA_DIR; None if there is none). It is called once for every split and
            version: the images are then cached.
        title: its name in papers.
        has_validation: it has a published validation split.
        version: changes whenever the images change; a change of the plug-in's own source counts, too.
    """

    name: str
    read: Callable[[SplitName, Path | None], LabelledImages]
    title: str = ""
    has_validation: bool = False
    version: str = "1"


@dataclass(frozen=True)
class OwnSource:
    """The source of a plug-in's data set.

    Attributes:
        own: the data set.
        folder: the data folder, or None.
    """

    own: OwnDataset
    folder: Path | None

    @property
    def dataset(self) -> str:
        """Return the data set's name."""
        return self.own.name

    @property
    def has_validation(self) -> bool:
        """Return True if it has a published validation split."""
        return self.own.has_validation

    def key(self, split: SplitName) -> str:
        """Hash the plug-in's source, the version and the folder."""
        code = code_of("datasets", self.own.name)
        return hashlib.sha256(repr((self.own.name, split, code, self.own.version, self.folder)).encode()).hexdigest()

    def read(self, split: SplitName) -> LabelledImages:
        """Read a split and check it.

        Raises:
            BadInput: it cannot be read, or is not of the form of `LabelledImages`.
        """
        try:
            found = self.own.read(split, self.folder)
        except Exception as error:
            if isinstance(error, BadInput):
                raise
            raise BadInput(f"data set {self.own.name}: reading {split}: {type(error).__name__}: {error}") from error
        if fault := fault_of(found):
            raise BadInput(f"data set {self.own.name}: {split}: {fault}")
        return LabelledImages(
            np.ascontiguousarray(found.images), found.labels.astype(np.int64), tuple(map(str, found.class_names))
        )


def fault_of(found: object) -> str | None:
    """Return what is wrong with a split, in plain words; None if nothing is."""
    if not isinstance(found, LabelledImages):
        return f"`read` must return LabelledImages, got {type(found).__name__}"
    images, labels, classes = found.images, found.labels, len(found.class_names)
    if not isinstance(images, np.ndarray) or not isinstance(labels, np.ndarray):
        return f"images and labels must be NumPy arrays, got {type(images).__name__} and {type(labels).__name__}"
    if images.ndim != 4:
        return f"images must have the shape (N, C, H, W), got {images.shape}; vectors are (N, D, 1, 1)"
    vectors = images.shape[2:] == (1, 1) and images.dtype == np.float32
    if images.dtype != np.uint8 and not vectors:
        return f"images must be uint8, from 0 to 255 (vectors float32), got {images.dtype}"
    if not vectors and images.shape[1] not in (1, 3):
        return f"images must have 1 or 3 channels, got {images.shape[1]}: the shape is (N, C, H, W)"
    if vectors and not np.isfinite(images).all():
        return "vectors must be finite"
    if labels.shape != images.shape[:1]:
        return f"there must be one label for each of the {len(images)} images, got the shape {labels.shape}"
    if not len(labels):
        return "there is no image"
    if not np.issubdtype(labels.dtype, np.integer):
        return f"labels must be integers, got {labels.dtype}"
    if classes < 2:
        return f"`class_names` must name at least 2 classes, got {classes}"
    if labels.min() < 0 or labels.max() >= classes:
        outside = labels[(labels < 0) | (labels >= classes)][0]
        return f"labels must lie in 0..{classes - 1}, one for each of the {classes} class names, got {outside}"
    return None


OWN_DATASETS: Table[OwnDataset] = Table("datasets", OwnDataset, {}, reserved=DATASETS)
"""Name -> data set of a plug-in; those of `DATASETS` have sources of their own."""


def plugged_dataset(name: str) -> OwnDataset | None:
    """Return a plug-in's data set, None if no plug-in has one of that name."""
    return OWN_DATASETS.get(name)


def plugged_datasets() -> list[OwnDataset]:
    """Return the data sets of all plug-ins."""
    return list(OWN_DATASETS.values())
