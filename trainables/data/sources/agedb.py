"""AgeDB: faces whose file names give identity and age, for pair verification."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trainables.core.errors import BadInput
from trainables.data.sources.image_files import SUFFIXES, ImageFiles
from trainables.data.sources.source import LabelledImages, SplitName

_NAME = re.compile(r"(?P<id>\d+)_(?P<name>.+)_(?P<age>\d+)_(?P<gender>[A-Za-z]+)\.[A-Za-z]+")


class Face(NamedTuple):
    """A file of AgeDB.

    Attributes:
        file: its name.
        person: name of the person.
        age: age in years.
    """

    file: str
    person: str
    age: int


@dataclass(frozen=True)
class AgeDb:
    """Images from ``<folder>/<id>_<name>_<age>_<gender>.jpg``; the label of an image is its person.

    Rows are in the order of the sorted file names. Every split is the whole data set.

    Source: Moschoglou et al. 2017, "AgeDB: the first manually collected, in-the-wild age database".
    """

    dataset: str
    folder: Path
    image_size: int | None = None
    has_validation: bool = False

    def faces(self) -> list[Face]:
        """Return the faces in row order.

        Raises:
            BadInput: if the folder has no image or an image's name has another form.
        """
        files = sorted(name for name in os.listdir(self.folder) if name.lower().endswith(SUFFIXES))
        if not files:
            raise BadInput(f"{self.folder} holds no image; expected <id>_<name>_<age>_<gender>.jpg, as in AgeDB")
        return [self._face(file) for file in files]

    def key(self, split: SplitName) -> str:
        """Hash names, sizes and times of all images."""
        return self._files().key(self.image_size)

    def read(self, split: SplitName) -> LabelledImages:
        """Decode all images.

        Raises:
            BadInput: as in `faces`, or if an image does not decode.
        """
        return self._files().read(self.image_size)

    def _face(self, file: str) -> Face:
        parts = _NAME.fullmatch(file)
        if parts is None:
            raise BadInput(f"{self.folder / file}: expected the name <id>_<name>_<age>_<gender>.jpg, as in AgeDB")
        return Face(file, parts["name"], int(parts["age"]))

    def _files(self) -> ImageFiles:
        faces = self.faces()
        persons = sorted({face.person for face in faces})
        label = {person: k for k, person in enumerate(persons)}
        return ImageFiles(
            self.folder,
            [face.file for face in faces],
            [label[face.person] for face in faces],
            tuple(persons),
            lambda row: str(self.folder / faces[row].file),
        )
