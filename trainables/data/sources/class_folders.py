"""Folders of images, one per class, including Tiny ImageNet's layout."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from trainables.core.errors import BadInput, unknown_name
from trainables.data.sources.image_files import SUFFIXES, ImageFiles, lines_of
from trainables.data.sources.source import LabelledImages, SplitName

_OTHER_IMAGES = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_ANNOTATIONS = "val_annotations.txt"
NESTED = "images"  # Tiny ImageNet stores a class in <class>/images


@dataclass(frozen=True)
class ClassFolders:
    """Images from ``<folder>/train/<class>/`` and ``<folder>/test/<class>/`` or ``<folder>/val/<class>/``.

    The sorted names of the training folders are the classes. If both ``test`` and ``val`` exist, ``test`` is the test
    split and ``val`` the published validation set; if one exists, it is the test split. Tiny ImageNet has
    ``val/images`` with ``val/val_annotations.txt``; its ``test`` has no labels and is ignored.
    """

    dataset: str
    folder: Path
    image_size: int | None = None

    @property
    def has_validation(self) -> bool:
        """Return True if both ``val`` and a labelled ``test`` exist."""
        return self._folder("test").name == "test" and (self.folder / "val").is_dir()

    def key(self, split: SplitName) -> str:
        """Hash names, sizes and times of the split's files and the names of the classes."""
        return self._files(split).key(self.image_size)

    def read(self, split: SplitName) -> LabelledImages:
        """Decode a split.

        Raises:
            BadInput: if a folder is missing, empty or not a training class, or an image does not decode.
        """
        return self._files(split).read(self.image_size)

    def _folder(self, split: SplitName) -> Path:
        val, test = self.folder / "val", self.folder / "test"
        if split == "train":
            return self.folder / "train"
        if split == "validation":
            return val
        return test if test.is_dir() and not (val / _ANNOTATIONS).is_file() else val

    def _files(self, split: SplitName) -> ImageFiles:
        names = subfolders(self._existing("train"))
        if not names:
            raise BadInput(f"{self.folder / 'train'} holds no class folder; expected train/<class>/<image>.jpg")
        folder = self._existing(split)
        if (folder / _ANNOTATIONS).is_file():
            return _annotated(folder, names, self.folder)
        own = subfolders(folder)
        for name in own:
            if name not in names:
                raise BadInput(f"{folder}: {unknown_name('class', name, names)}; train has no such folder")
        paths, labels = [], []
        for label, name in enumerate(names):
            found = images_of(folder / name) if name in own else []
            paths += [f"{name}/{image}" for image in found]
            labels += [label] * len(found)
        if not paths:
            raise BadInput(f"{folder} holds no class folder; expected {folder.name}/<class>/<image>.jpg")
        return ImageFiles(folder, paths, labels, tuple(names), lambda row: str(folder / paths[row]), self.folder)

    def _existing(self, split: SplitName) -> Path:
        folder = self._folder(split)
        if folder.is_dir():
            return folder
        wanted = "test or val" if split == "test" else folder.name
        raise BadInput(f"{self.folder} has no folder {wanted}; expected class folders in train and in test or val")


def subfolders(folder: Path) -> list[str]:
    """Return the sorted names of the folders in a folder, without hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def images_of(folder: Path) -> list[str]:
    """Return the sorted paths, relative to a class folder, of its images.

    Raises:
        BadInput: if there is none, one is of another format, or a folder lies deeper.
    """
    inner = subfolders(folder)
    deeper = [name for name in inner if name != NESTED]
    if deeper:
        raise BadInput(
            f"{folder} holds the folder {deeper[0]}, but images must lie in <class>/ or <class>/{NESTED}/; list "
            "images of deeper folders in train.txt and test.txt"
        )
    places = ["", *(f"{name}/" for name in inner)]
    found = [f"{place}{name}" for place in places for name in os.listdir(folder / place) if not name.startswith(".")]
    for name in found:
        if name.lower().endswith(_OTHER_IMAGES):
            raise BadInput(f"{folder / name}: images are {_allowed()}, got {Path(name).suffix}")
    images = sorted(name for name in found if name.lower().endswith(SUFFIXES))
    if not images:
        raise BadInput(f"{folder} is empty: expected at least one image ({_allowed()})")
    return images


def _annotated(folder: Path, names: list[str], data_set: Path) -> ImageFiles:
    """Read lines ``<image> <class> <box>`` for images in ``images/``."""
    table = folder / _ANNOTATIONS
    known, numbers, paths, labels = {name: k for k, name in enumerate(names)}, [], [], []
    for number, line in lines_of(table):
        image, *rest = line.split()
        if not rest:
            raise BadInput(f"{table}, line {number}: expected an image and a class, got '{line}'")
        if rest[0] not in known:
            raise BadInput(f"{table}, line {number}: {unknown_name('class', rest[0], names)}")
        if Path(image).name != image:
            raise BadInput(f"{table}, line {number}: expected the name of a file in {NESTED}/, got '{image}'")
        numbers.append(number)
        paths.append(f"{NESTED}/{image}")
        labels.append(known[rest[0]])
    if not paths:
        raise BadInput(f"{table} names no image")
    repeated = next((path for path, count in Counter(paths).items() if count > 1), None)
    if repeated is not None:
        raise BadInput(f"{table}: the image {repeated} is named more than once")
    return ImageFiles(folder, paths, labels, tuple(names), lambda row: f"{table}, line {numbers[row]}", data_set)


def _allowed() -> str:
    return ", ".join(SUFFIXES)
