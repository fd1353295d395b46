"""Writes splits of encoded images or vectors as Parquet files that `ParquetFolder` reads, whole or not at all."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.core.errors import BadInput
from trainables.data.sources import feature_vectors
from trainables.data.sources.parquet_folder import classes_metadata

Rows = tuple[Sequence[bytes] | npt.NDArray[np.float32], Sequence[int]]
"""Encoded images, or vectors as float32 (n, D); and their labels."""


def write_split(file: Path, batches: Iterable[Rows], class_names: Sequence[str]) -> int:
    """Write one split and return the number of its rows.

    Args:
        file: to write.
        batches: some thousand rows each, all images or all vectors of one length.
        class_names: in label order.

    Raises:
        OSError: the file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, writer = 0, None
    try:
        for content, labels in batches:
            name, column = _column(content)
            table = pa.table({name: column, "label": pa.array(labels, pa.int64())})
            if writer is None:
                writer = pq.ParquetWriter(file, table.schema.with_metadata(classes_metadata(class_names)))
            writer.write_table(table.cast(writer.schema))
            rows += len(labels)
    finally:
        if writer is not None:
            writer.close()
    return rows


def _column(content: Sequence[bytes] | npt.NDArray[np.float32]) -> tuple[str, Any]:
    import pyarrow as pa

    if isinstance(content, np.ndarray):
        kind = pa.list_(pa.float32(), content.shape[1])
        flat = pa.array(np.ascontiguousarray(content).ravel())
        return feature_vectors.COLUMN, pa.FixedSizeListArray.from_arrays(flat, type=kind)
    return "image", pa.array(content, pa.large_binary())


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode an image, uint8 (H, W) or (H, W, 3), without loss."""
    from PIL import Image

    encoded = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(encoded, "PNG", compress_level=1)
    return encoded.getvalue()


def written_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a folder, which then appears at its place at once, in place of an earlier one.

    Args:
        folder: the place.
        write: gets an empty folder beside it.

    Raises:
        BadInput: the place cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.{socket.gethostname()}.{os.getpid()}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        for file in _files(partial):
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    except OSError as error:
        raise BadInput(f"{folder.parent} cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file())
