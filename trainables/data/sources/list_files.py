"""Lists of image paths and labels, the format of ImageNet-LT and Places-LT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainables.core.errors import BadInput
from trainables.data.sources.image_files import ImageFiles, lines_of
from trainables.data.sources.source import LabelledImages, SplitName

_CLASSES = "classes.txt"
_Entries = list[tuple[int, str, int]]  # number of the line, path, label


def list_prefixes(folder: Path) -> list[str]:
    """Return the sorted name prefixes of a folder's training lists: the part before ``train.txt``."""
    return sorted(
        path.name.removesuffix("train.txt")
        for path in folder.glob("*train.txt")
        if path.name == "train.txt" or path.name.endswith("_train.txt")
    )


@dataclass(frozen=True)
class ListFiles:
    """Images named by ``train.txt``, ``val.txt`` and ``test.txt``, or by ``NAME_train.txt`` and so on.

    A line holds a path relative to the folder, white space and a label from 0. If ``test.txt`` is missing, ``val.txt``
    is the test split; if both exist, ``val.txt`` is the published validation set. ``classes.txt`` names the classes,
    one per line; without it, labels are the names.
    """

    dataset: str
    folder: Path
    image_size: int | None = None

    @property
    def has_validation(self) -> bool:
        """Return True if both a validation list and a test list exist."""
        return self._list("val").is_file() and self._list("test").is_file()

    def key(self, split: SplitName) -> str:
        """Hash the split's list and names, sizes and times of its files."""
        return self._files(split).key(self.image_size)

    def read(self, split: SplitName) -> LabelledImages:
        """Decode a split.

        Raises:
            BadInput: if a list is missing, a line or label is invalid, or an image is missing or does not decode.
        """
        return self._files(split).read(self.image_size)

    def _list(self, which: str) -> Path:
        prefixes = list_prefixes(self.folder)
        if len(prefixes) != 1:
            found = ", ".join(f"{prefix}train.txt" for prefix in prefixes) or "none"
            raise BadInput(f"{self.folder}: expected one training list, train.txt or NAME_train.txt; found {found}")
        return self.folder / f"{prefixes[0]}{which}.txt"

    def _path(self, split: SplitName) -> Path:
        if split == "train":
            return self._list("train")
        test, val = self._list("test"), self._list("val")
        if split == "validation":
            return val
        if not test.is_file() and not val.is_file():
            raise BadInput(f"{self.folder} has neither {test.name} nor {val.name}; one of them is the test split")
        return test if test.is_file() else val

    def _files(self, split: SplitName) -> ImageFiles:
        train = _entries(self._list("train"))
        names = self._class_names(train)
        path = self._path(split)
        entries = train if split == "train" else _entries(path)
        for number, _, label in entries:
            if not 0 <= label < len(names):
                raise BadInput(
                    f"{path}, line {number}: the label must be in 0..{len(names) - 1} ({len(names)} classes), "
                    f"got {label}"
                )
        return ImageFiles(
            self.folder,
            [entry[1] for entry in entries],
            [entry[2] for entry in entries],
            names,
            lambda row: f"{path}, line {entries[row][0]}",
        )

    def _class_names(self, train: _Entries) -> tuple[str, ...]:
        written = self.folder / _CLASSES
        if written.is_file():
            return tuple(line for _, line in lines_of(written))
        # Every class needs an image, so a valid label is below the number of lines.
        labels = [label for _, _, label in train if label < len(train)]
        return tuple(str(k) for k in range(max(labels, default=0) + 1))


def _entries(path: Path) -> _Entries:
    entries = []
    for number, line in lines_of(path):
        image, *rest = line.rsplit(maxsplit=1)
        if not rest:
            raise BadInput(f"{path}, line {number}: expected a path and a label, got '{line}'")
        try:
            label = int(rest[0])
        except ValueError:
            raise BadInput(f"{path}, line {number}: the label must be a whole number from 0, got '{rest[0]}'") from None
        if PurePosixPath(image).is_absolute() or ".." in PurePosixPath(image).parts:
            raise BadInput(f"{path}, line {number}: the path must lie below {path.parent}, got '{image}'")
        entries.append((number, image, label))
    if not entries:
        raise BadInput(f"{path} names no image; a line is a path and a label, for example 'train/a/1.jpg 0'")
    return entries
