"""Labelled image files of a split: the common form of class folders, list files and CelebA."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainables.core.errors import BadInput, shown
from trainables.core.files import read_regular
from trainables.data.sources.containment import Containment
from trainables.data.sources.image_decoding import decode_images
from trainables.data.sources.source import LabelledImages

SUFFIXES = (".jpeg", ".jpg", ".png")
_FILES_AT_A_TIME = 2048


@dataclass(frozen=True)
class ImageFiles:
    """Image files of a split with their labels; no file is opened before `read`.

    Attributes:
        root: folder to which ``paths`` are relative.
        paths: paths of the files, in row order.
        labels: label of each file, in [0, K).
        class_names: (K,), in label order.
        where: row -> origin of the file for messages, for example a list and its line.
        data_set: folder of the data set, which no file may leave (`Containment`); None means ``root``.
    """

    root: Path
    paths: Sequence[str]
    labels: Sequence[int]
    class_names: tuple[str, ...]
    where: Callable[[int], str]
    data_set: Path | None = None

    def key(self, image_size: int | None) -> str:
        """Hash names, labels, sizes and modification times of all files; 100,000 files take about a second.

        Raises:
            BadInput: if a file is missing, no regular file or outside the data set; the message gives its origin.
        """
        for name in self.class_names:
            if not _is_text(name):
                raise BadInput(f"{self.root}: the class name {name!a} is not text in UTF-8")
        digest = hashlib.sha256(f"{image_size} {self.class_names}".encode())
        root, inside = str(self.root), Containment(self.data_set or self.root)
        for row, (path, label) in enumerate(zip(self.paths, self.labels, strict=True)):
            try:
                status = inside.status(os.path.join(root, path))
            except OSError as error:
                file = shown(self.root / path, 300)
                raise BadInput(f"{self.where(row)}: no image {file} ({error.strerror})") from error
            line = f"{path}\0{label} {status.st_size} {status.st_mtime_ns}\n"
            digest.update(line.encode(errors="surrogateescape"))
        return digest.hexdigest()

    def read(self, image_size: int | None) -> LabelledImages:
        """Decode all files.

        Raises:
            BadInput: if a file cannot be read or decoded, or differs in size; the message gives its origin.
        """
        images = decode_images(self._batches(), len(self.paths), self.where, image_size)
        return LabelledImages(images, np.asarray(self.labels, np.int64), self.class_names)

    def _batches(self) -> Iterator[list[Path]]:
        for start in range(0, len(self.paths), _FILES_AT_A_TIME):
            yield [self.root / path for path in self.paths[start : start + _FILES_AT_A_TIME]]


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def lines_of(path: Path) -> list[tuple[int, str]]:
    """Return the number (from 1) and text of each non-blank line of a file.

    Raises:
        BadInput: if the file cannot be read or is not UTF-8 text.
    """
    try:
        text = read_regular(path).decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not text in UTF-8: {error}") from error
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
