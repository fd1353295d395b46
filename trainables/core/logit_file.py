"""Kept logits of a finished trial: the Parquet file that a training writes and reports read."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.core.errors import BadInput
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath, write_atomically

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

LOGIT_FILE = "logits.parquet"
"""Name of the file in a trial's folder."""

_ABOUT = b"longtail_study"
"""Key of the file's metadata: JSON with ``posthoc_value``, ``class_names`` and ``class_counts``."""
_LOWEST = float(np.finfo(np.float16).min)


@dataclass(frozen=True, eq=False)
class SplitLogits:
    """Logits of all images of a split, in the split's order.

    Attributes:
        labels: (N,).
        predictions: (N,), argmax of the logits before they were rounded to float16.
        logits: (N, K), less the largest of their row: the prediction has 0, the others less, -65504 at least. Softmax,
            its temperatures, and sums with a vector per class do not depend on what is subtracted from a whole row.
        largest: (N,), what was subtracted: ``logits + largest[:, None]`` are the head's logits.
    """

    labels: Ints
    predictions: Ints
    logits: Floats
    largest: Floats

    @classmethod
    def of(cls, logits: npt.NDArray[Any], labels: npt.NDArray[Any]) -> SplitLogits:
        """Return what is kept of a head's finite logits (N, K), rounded to float16, and of labels (N,).

        >>> kept = SplitLogits.of(np.array([[1000.25, 1001.0], [3.0, -9e9]]), np.array([0, 0]))
        >>> kept.logits.tolist(), kept.largest.tolist(), kept.predictions.tolist()
        ([[-0.75, 0.0], [0.0, -65504.0]], [1001.0, 3.0], [1, 0])
        """
        largest = logits.max(axis=1, keepdims=True)
        relative = np.maximum(logits - largest, _LOWEST).astype(np.float16).astype(np.float32)
        predictions = logits.argmax(axis=1).astype(np.int64)
        return cls(labels.astype(np.int64), predictions, relative, largest[:, 0].astype(np.float32))


@dataclass(frozen=True, eq=False)
class KeptLogits:
    """Content of a trial's logit file.

    Attributes:
        posthoc_value: the value of a post-hoc method's change, which the logits include; None for other methods.
        class_names: (K,), in label order.
        class_counts: (K,), training images per class.
        splits: ``validation``, and ``test`` in a trial of a confirmation.
    """

    posthoc_value: float | None
    class_names: tuple[str, ...]
    class_counts: tuple[int, ...]
    splits: Mapping[str, SplitLogits]

    def scaled(self, factor: float) -> KeptLogits:
        """Return the logits times a positive factor; predictions stay."""
        if factor == 1:
            return self
        splits = {
            name: replace(split, logits=split.logits * np.float32(factor), largest=split.largest * np.float32(factor))
            for name, split in self.splits.items()
        }
        return replace(self, splits=splits)


def write_logits(folder: StoragePath, kept: KeptLogits) -> None:
    """Write the file into a trial's folder; it is there as a whole, and on the disk, when this returns.

    Columns: ``split`` (text), ``image`` (int32, position of the image in its split), ``label`` and ``prediction``
    (int32), ``largest`` (float32) and ``logits`` (list of K float16), as in `SplitLogits`. Each split is a row group.

    Raises:
        OSError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = {
        "posthoc_value": kept.posthoc_value,
        "class_names": list(kept.class_names),
        "class_counts": list(kept.class_counts),
    }
    classes = len(kept.class_names)
    schema = pa.schema(
        [
            ("split", pa.dictionary(pa.int32(), pa.string())),
            *((name, pa.int32()) for name in ("image", "label", "prediction")),
            ("largest", pa.float32()),
            ("logits", pa.list_(pa.float16(), classes)),
        ],
        metadata={_ABOUT: json.dumps(about).encode()},
    )
    content = io.BytesIO()
    streams = ["logits.list.element"]  # the bytes of float16 compress better apart
    options = {"compression": "zstd", "use_dictionary": ["split"], "use_byte_stream_split": streams}
    with pq.ParquetWriter(content, schema, write_page_checksum=True, **options) as writer:
        for name, split in kept.splits.items():
            count = len(split.labels)
            flat = pa.array(split.logits.astype(np.float16).reshape(-1))
            columns = [
                pa.array([name] * count, pa.string()).dictionary_encode(),
                pa.array(np.arange(count, dtype=np.int32)),
                pa.array(split.labels.astype(np.int32)),
                pa.array(split.predictions.astype(np.int32)),
                pa.array(split.largest),
                pa.FixedSizeListArray.from_arrays(flat, classes),
            ]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=max(1, count))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / LOGIT_FILE, content.getvalue())


def has_logits(folder: StoragePath) -> bool:
    """Return True if a trial's folder holds a whole logit file; its end is read, not its logits."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / LOGIT_FILE
    if isinstance(path, ObjectPath):
        return path.is_file()  # put as a whole; another file would be found when it is read
    try:
        metadata = pq.read_schema(path).metadata
    except (OSError, pa.ArrowException):
        return False
    return _ABOUT in (metadata or {})


def read_logits(folder: StoragePath) -> KeptLogits | None:
    """Return the logits that a trial's folder holds, or None if it holds none.

    Raises:
        BadInput: the file is damaged or is no file of `write_logits`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / LOGIT_FILE
    try:
        source = path if isinstance(path, Path) else io.BytesIO(path.read_bytes())
        table = pq.read_table(source, page_checksum_verification=True)
        about = json.loads(table.schema.metadata[_ABOUT])
        names = dict.fromkeys(table["split"].to_pylist())
        splits = {name: _split(table.filter(pa.compute.equal(table["split"], name))) for name in names}
        return KeptLogits(
            about["posthoc_value"],
            tuple(about["class_names"]),
            tuple(about["class_counts"]),
            splits,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise BadInput(f"{path}: cannot be read as kept logits ({error}); put back a copy, or remove it") from None


def _split(table: Any) -> SplitLogits:
    flat = table["logits"].combine_chunks().flatten().to_numpy().astype(np.float32)
    label, prediction, largest = (table[name].to_numpy() for name in ("label", "prediction", "largest"))
    logits = flat.reshape(len(label), -1)
    return SplitLogits(label.astype(np.int64), prediction.astype(np.int64), logits, largest)
