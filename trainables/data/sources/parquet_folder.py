"""Folders of Parquet files: encoded images or feature vectors, and integer labels; with or without a test split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.core.errors import BadInput, shown
from trainables.data.sources import feature_vectors
from trainables.data.sources.drawn_test import DrawnTest
from trainables.data.sources.image_decoding import decode_images
from trainables.data.sources.source import LabelledImages, OtherTest, SplitName

UNSPLIT = "all.parquet"
"""The file of a data set without a split."""

_ROWS_AT_A_TIME = 2048
_TAIL = 8  # a Parquet file ends with the footer's length (4 bytes, little-endian) and the letters PAR1


@dataclass(frozen=True)
class ParquetFolder:
    """Images or vectors from ``<folder>/train.parquet`` and ``test.parquet``, and ``validation.parquet`` if it exists.

    Columns: ``image`` (binary, a PNG or JPEG file) or ``features`` (list of floating-point numbers, all of one
    length), and ``label`` (integer, from 0). The schema's metadata holds the class names in label order: under
    ``class_names`` as a list in JSON, or under ``classes``, comma-separated; without them, labels are the names.

    With ``draw`` all images are in ``<folder>/all.parquet``, and the test images are drawn. An image's key in the draw
    is its encoded file, a vector's its numbers: the order of the rows is without effect.

    Attributes:
        dataset: its name.
        folder: of the files.
        image_size: as in `DataConfig`.
        draw: None if there is a test split.
        used_as_test: name of the published split that serves as test split, if that is another one.
    """

    dataset: str
    folder: Path
    image_size: int | None = None
    draw: DrawnTest | None = None
    used_as_test: str | None = None

    @property
    def has_validation(self) -> bool:
        """Return True if ``validation.parquet`` exists."""
        return self.file("validation").is_file()

    def file(self, split: SplitName) -> Path:
        """Return the path of a split's file."""
        return self.folder / (UNSPLIT if self.draw is not None and split != "validation" else f"{split}.parquet")

    def key(self, split: SplitName) -> str:
        """Hash size, modification time and footer of the file; reading it all in every worker would be slow.

        The keys of the other splits include that of the training file, which defines the classes.
        """
        path = self.file(split)
        footer = _footer(path)
        status = path.stat()
        own = f"{status.st_size} {status.st_mtime_ns} {hashlib.sha256(footer).hexdigest()}"
        if self.image_size is not None:
            own += f" {self.image_size}"
        if self.draw is not None:
            own += f" {self.draw} {split}"
        return hashlib.sha256((own if split == "train" else own + self.key("train")).encode()).hexdigest()

    def read(self, split: SplitName) -> LabelledImages:
        """Check and decode a split.

        Raises:
            BadInput: if the file is missing, truncated or of another format; a label is null or out of range; an image
                is null, does not decode or differs in size; or a vector differs in length or is not finite.
        """
        path = self.file(split)
        with _opened(path) as parquet:
            rows = parquet.metadata.num_rows
            if rows == 0:
                raise BadInput(f"{path} holds no rows, expected at least one image")
            _check_columns(parquet.schema_arrow, path)
            names = self._class_names(split)
            labels = _labels(parquet, path)
            _check_range(labels, len(names), path)
            chosen = np.arange(rows)
            if self.draw is not None and split != "validation":
                tested = self.draw.rows(_keys(parquet, path), labels, names, path)
                chosen = np.flatnonzero(tested if split == "test" else ~tested)
            return LabelledImages(self._images(parquet, rows, chosen, path), labels[chosen], names)

    def other_test(self) -> OtherTest | None:
        """Return how the test images are drawn, or which split serves as test split; reads labels alone.

        Raises:
            BadInput: if the labels cannot be read, or a class has too few images for a test image.
        """
        if self.draw is None:
            if self.used_as_test is None:
                return None
            serves = f"its split {self.used_as_test} serves as test split"
            return OtherTest(f"no test split of its own: {serves}", f"split {self.used_as_test}", self.used_as_test)
        with _opened(self.file("train")) as parquet:
            _check_columns(parquet.schema_arrow, self.file("train"))
            names, labels = self._class_names("train"), _labels(parquet, self.file("train"))
        _check_range(labels, len(names), self.file("train"))
        return self.draw.other_test(np.bincount(labels, minlength=len(names)).tolist(), names, self.file("train"))

    def _images(
        self, parquet: Any, rows: int, chosen: npt.NDArray[np.int64], path: Path
    ) -> npt.NDArray[np.uint8 | np.float32]:
        if holds_vectors(parquet.schema_arrow):
            if self.image_size is not None:
                raise BadInput(f"{path} holds vectors, which have no `image_size`; omit it, got {self.image_size}")
            vectors = feature_vectors.read_vectors(_column(parquet, feature_vectors.COLUMN, path), rows, path)
            return vectors if len(chosen) == rows else vectors[chosen]

        def where(place: int) -> str:
            return f"{path}, row {chosen[place]} (counted from 0)"

        wanted = np.zeros(rows, dtype=np.bool_)
        wanted[chosen] = True
        return decode_images(_encoded(parquet, wanted, path), len(chosen), where, self.image_size)

    def _class_names(self, split: SplitName) -> tuple[str, ...]:
        """Return the class names of the training file; other files may omit them but must not differ."""
        with _opened(self.file("train")) as train:
            names = _written_names(train.schema_arrow, self.file("train"))
            if names is None:
                _check_columns(train.schema_arrow, self.file("train"))
                labels = _labels(train, self.file("train"))
                # Every class needs an image, so a valid label is below the number of rows.
                _check_range(labels, len(labels), self.file("train"))
                names = tuple(str(k) for k in range(int(labels.max()) + 1))
        if split != "train":
            with _opened(self.file(split)) as other:
                own = _written_names(other.schema_arrow, self.file(split))
            if own is not None and own != names:
                raise BadInput(
                    f"{self.file(split)}: its `classes` ({', '.join(own)}) differ from those of "
                    f"{self.file('train').name} ({', '.join(names)})"
                )
        return names


def holds_vectors(schema: Any) -> bool:
    """Return True if a Parquet file with this Arrow schema holds feature vectors and no images."""
    return feature_vectors.COLUMN in schema.names and "image" not in schema.names


def schema_of(path: Path) -> Any:
    """Return the Arrow schema of a Parquet file; only its footer is read.

    Raises:
        BadInput: if the file is missing, truncated or of another format.
    """
    with _opened(path) as parquet:
        return parquet.schema_arrow


def classes_metadata(names: Sequence[str]) -> dict[str, str]:
    """Return the metadata of a Parquet schema that hold class names, which may have commas."""
    return {"class_names": json.dumps(list(names))}


def _footer(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            tail = file.read(_TAIL)
            length = int.from_bytes(tail[:4], "little")
            if tail[4:] != b"PAR1" or length > size - _TAIL:
                raise BadInput(f"{path} ({size} bytes) is cut off or not a Parquet file: it ends without a footer")
            file.seek(size - _TAIL - length)
            return file.read(length)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error


def _opened(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _footer(path)
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path} is damaged or not a Parquet file: {error}") from error


def _check_columns(schema: Any, path: Path) -> None:
    import pyarrow.types as types

    found = ", ".join(f"{field.name}: {field.type}" for field in schema)
    image = ("image", "binary", lambda t: types.is_binary(t) or types.is_large_binary(t))
    features = (feature_vectors.COLUMN, "a list of floating-point numbers", feature_vectors.is_vector_type)
    content = features if holds_vectors(schema) else image
    for column, wanted, fits in (content, ("label", "an integer type", types.is_integer)):
        if column not in schema.names:
            raise BadInput(f"{path}: no column `{column}` ({wanted}); found {found}")
        if not fits(schema.field(column).type):
            raise BadInput(f"{path}: column `{column}` must be {wanted}, got {schema.field(column).type}")


def _written_names(schema: Any, path: Path) -> tuple[str, ...] | None:
    listed = (schema.metadata or {}).get(b"class_names")
    if listed:
        return _listed_names(listed, path)
    written = (schema.metadata or {}).get(b"classes")
    if not written:
        return None
    try:
        return tuple(name.strip() for name in written.decode().split(","))
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: the class names in `classes` are not text in UTF-8 ({error.reason})") from None


def _listed_names(written: bytes, path: Path) -> tuple[str, ...]:
    try:
        names = json.loads(written)
    except ValueError:
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadInput(f"{path}: class names in `class_names` must be a list of texts in JSON, got {shown(written)}")
    return tuple(names)


def _column(parquet: Any, name: str, path: Path) -> Iterator[Any]:
    """Yield the column's values in batches, as Arrow arrays without nulls."""
    import pyarrow as pa

    first = 0
    try:
        for batch in parquet.iter_batches(_ROWS_AT_A_TIME, columns=[name]):
            values = batch.column(0)
            if values.null_count:
                row = first + int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
                raise BadInput(f"{path}, row {row} (counted from 0): `{name}` is null")
            first += len(values)
            yield values
    except (OSError, pa.ArrowException) as error:
        raise BadInput(
            f"{path} is damaged: column `{name}` cannot be read from row {first} (counted from 0) on: {error}"
        ) from error


def _labels(parquet: Any, path: Path) -> npt.NDArray[np.int64]:
    parts = [np.asarray(values.to_numpy()) for values in _column(parquet, "label", path)]
    return np.concatenate(parts).astype(np.int64)


def _encoded(parquet: Any, wanted: npt.NDArray[np.bool_], path: Path) -> Iterator[list[bytes]]:
    first = 0
    for values in _column(parquet, "image", path):
        here = wanted[first : first + len(values)]
        first += len(values)
        yield values.to_pylist() if here.all() else values.filter(here).to_pylist()


def _keys(parquet: Any, path: Path) -> list[bytes]:
    """Return the sha256 of every image's file, or of every vector's numbers as float32."""
    if holds_vectors(parquet.schema_arrow):
        vectors = _column(parquet, feature_vectors.COLUMN, path)
        read = feature_vectors.read_vectors(vectors, parquet.metadata.num_rows, path)
        return [hashlib.sha256(vector.astype("<f4").tobytes()).digest() for vector in read]
    every = np.ones(parquet.metadata.num_rows, dtype=np.bool_)
    return [hashlib.sha256(image).digest() for batch in _encoded(parquet, every, path) for image in batch]


def _check_range(labels: npt.NDArray[np.int64], classes: int, path: Path) -> None:
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BadInput(
            f"{path}, row {row} (counted from 0): `label` must be in 0..{classes - 1} ({classes} classes), "
            f"got {labels[row]}"
        )
