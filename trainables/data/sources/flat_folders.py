"""A folder of class folders without a split: its test images are drawn."""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trainables.core.errors import BadInput
from trainables.data.sources.class_folders import NESTED, images_of, subfolders
from trainables.data.sources.drawn_test import DrawnTest
from trainables.data.sources.image_files import SUFFIXES, ImageFiles
from trainables.data.sources.source import LabelledImages, OtherTest, SplitName

_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}
_MOST_LOOKED_AT = 20


@dataclass(frozen=True)
class FlatFolders:
    """Images from ``<folder>/<class>/``, or ``<folder>/<class>/images/``, of which ``draw`` takes the test images.

    The sorted names of the folders are the classes. An image's key in the draw is ``<class>/<name>`` in Unicode's
    composed form, so that file systems that store names in another form draw alike.
    """

    dataset: str
    folder: Path
    image_size: int | None
    draw: DrawnTest
    has_validation: bool = False

    def key(self, split: SplitName) -> str:
        """Hash names, sizes and times of the split's files and the names of the classes."""
        return self._files(split).key(self.image_size)

    def read(self, split: SplitName) -> LabelledImages:
        """Decode a split.

        Raises:
            BadInput: if a class folder is empty or has too few images for a test image, or an image does not decode.
        """
        return self._files(split).read(self.image_size)

    def other_test(self) -> OtherTest:
        """Return how the test images are drawn; lists the folders and opens no file.

        Raises:
            BadInput: if a class folder is empty or has too few images for a test image.
        """
        names, _, labels = self._listed
        return self.draw.other_test(np.bincount(labels, minlength=len(names)).tolist(), names, self.folder)

    @cached_property
    def _listed(self) -> tuple[list[str], list[str], list[int]]:
        """Names of the classes; path and label of every image."""
        names = subfolders(self.folder)
        paths, labels = [], []
        for label, name in enumerate(names):
            if name.lower() in _SPLITS:
                raise BadInput(
                    f"{self.folder / name}: class folders lie in {self.folder.name}/<class>/, or in train/<class>/ and "
                    f"test/<class>/ if the data set has a test split; '{name}' beside other folders is neither"
                )
            found = images_of(self.folder / name)
            paths += [f"{name}/{image}" for image in found]
            labels += [label] * len(found)
        return names, paths, labels

    @cached_property
    def _tested(self) -> npt.NDArray[np.bool_]:
        names, paths, labels = self._listed
        keys = [unicodedata.normalize("NFC", path).encode(errors="surrogateescape") for path in paths]
        return self.draw.rows(keys, np.asarray(labels, np.int64), names, self.folder)

    def _files(self, split: SplitName) -> ImageFiles:
        names, paths, labels = self._listed
        rows = np.flatnonzero(self._tested == (split == "test")).tolist()
        own = [paths[row] for row in rows]
        return ImageFiles(
            self.folder, own, [labels[row] for row in rows], tuple(names), lambda row: str(self.folder / own[row])
        )


def is_flat(folder: Path) -> bool:
    """Return True if a folder holds two or more folders, of which one of the first has an image."""
    try:
        names = subfolders(folder)
        return len(names) > 1 and any(_holds_image(folder / name) for name in names[:_MOST_LOOKED_AT])
    except OSError:
        return False


def _holds_image(folder: Path) -> bool:
    for place in (folder, folder / NESTED):
        if place.is_dir():
            with os.scandir(place) as entries:
                if any(entry.name.lower().endswith(SUFFIXES) for entry in islice(entries, 1000)):
                    return True
    return False
