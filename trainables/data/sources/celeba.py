"""CelebA-5: faces of CelebA with exactly one of five hair attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainables.core.errors import BadInput, shown
from trainables.data.sources.image_files import ImageFiles, lines_of
from trainables.data.sources.source import LabelledImages, SplitName

ATTRIBUTES = "list_attr_celeba.txt"
_PARTITION = "list_eval_partition.txt"
_IMAGES = "img_align_celeba"
_HAIR = ("Gray_Hair", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bald")
_SPLITS: dict[str, SplitName] = {"0": "train", "1": "validation", "2": "test"}


@dataclass(frozen=True)
class CelebA5:
    """Images of CelebA with exactly one of the attributes gray, black, blond and brown hair and bald.

    ``list_eval_partition.txt`` defines the splits, including the published validation set. Class order follows the
    lists released with M2m, inferred from their class sizes.

    Source: Kim et al. 2020 (M2m), section 3.3: "filtering only the samples with five non-overlapping labels
    about hair colors". The paper then keeps one image in 20, given by its own lists; see docs/data.md.
    """

    dataset: str
    folder: Path
    image_size: int | None = None

    @property
    def has_validation(self) -> bool:
        """Return True: CelebA is published with a validation split."""
        return True

    def key(self, split: SplitName) -> str:
        """Hash the classes and names, sizes and times of the split's files."""
        return self._files(split).key(self.image_size)

    def read(self, split: SplitName) -> LabelledImages:
        """Decode a split.

        Raises:
            BadInput: if a table is missing or damaged, an attribute or image is missing, or an image does not decode.
        """
        return self._files(split).read(self.image_size)

    def _files(self, split: SplitName) -> ImageFiles:
        splits = self._partition()
        numbers, paths, labels = [], [], []
        table = self.folder / ATTRIBUTES
        for number, image, label in _with_one_colour(table):
            if image not in splits:
                raise BadInput(f"{table}, line {number}: {_PARTITION} does not name the image {image}")
            if splits[image] == split:
                numbers.append(number)
                paths.append(f"{_IMAGES}/{image}")
                labels.append(label)
        if not paths:
            raise BadInput(f"{table} and {_PARTITION} give {split} no image with exactly one of {', '.join(_HAIR)}")
        return ImageFiles(self.folder, paths, labels, _HAIR, lambda row: f"{table}, line {numbers[row]}")

    def _partition(self) -> dict[str, SplitName]:
        table = self.folder / _PARTITION
        splits: dict[str, SplitName] = {}
        for number, line in lines_of(table):
            image, *rest = line.split()
            if len(rest) != 1 or rest[0] not in _SPLITS:
                raise BadInput(
                    f"{table}, line {number}: expected an image and 0 (train), 1 (validation) or 2 (test), got '{line}'"
                )
            if Path(image).name != image:
                raise BadInput(
                    f"{table}, line {number}: expected the name of a file in {_IMAGES}/, got '{shown(image)}'"
                )
            splits[image] = _SPLITS[rest[0]]
        return splits


def _with_one_colour(table: Path) -> Iterator[tuple[int, str, int]]:
    """Yield line number, image and class of each image with exactly one of the five attributes."""
    lines = lines_of(table)
    if len(lines) < 2:
        raise BadInput(f"{table} is cut off: expected the number of images, the attributes, then a line per image")
    attributes = lines[1][1].split()
    missing = [name for name in _HAIR if name not in attributes]
    if missing:
        raise BadInput(f"{table}, line {lines[1][0]}: no attribute {missing[0]}; found {', '.join(attributes)}")
    if lines[0][1] != str(len(lines) - 2):
        raise BadInput(
            f"{table}, line {lines[0][0]}: it states '{lines[0][1]}' images, but {len(lines) - 2} lines follow"
        )
    columns = [attributes.index(name) for name in _HAIR]
    for number, line in lines[2:]:
        image, *values = line.split()
        if len(values) != len(attributes):
            raise BadInput(f"{table}, line {number}: expected {len(attributes)} values, got {len(values)}")
        hair = [values[column] for column in columns]
        wrong = next((value for value in hair if value not in ("1", "-1")), None)
        if wrong is not None:
            raise BadInput(f"{table}, line {number}: an attribute is 1 or -1, got '{wrong}'")
        if hair.count("1") == 1:
            yield number, image, hair.index("1")
