"""Decoded images as Arrow IPC files, memory-mapped and shared by all processes of a machine."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.core.errors import BadInput
from trainables.core.kernel_lock import KernelLock
from trainables.data.sources.source import LabelledImages, Source, SplitName

_FORMAT = 1  # part of every file name; increase it when layout or decoding changes
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CachedImages:
    """A split in a memory-mapped file, read on access.

    Attributes:
        images: uint8 or float32 (N, C, H, W), a copy-on-write view of the file: changes stay in this process.
        class_names: (K,), in label order.
        content: sha256 over shape, images and labels, computed when the file was written.
    """

    images: npt.NDArray[np.uint8 | np.float32]
    class_names: tuple[str, ...]
    content: str
    _label_column: Any = field(repr=False)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Return the labels, int64 (N,), read from the file on this call."""
        return np.asarray(self._label_column.to_numpy())


def cache_dir() -> Path:
    """Return the folder of decoded images and downloads: STUDY_CACHE_DIR, or ~/.cache/longtail-study."""
    return Path(os.environ.get("STUDY_CACHE_DIR") or "~/.cache/longtail-study").expanduser()


def open_images(source: Source, split: SplitName, verify: bool = False) -> CachedImages:
    """Open the decoded images of a split, decoding them first if there is no usable cache file.

    A file is usable if it is complete: it ends with Arrow's footer and its columns have the number of rows given in the
    header. If several processes call this at once, one decodes and the others wait. A process killed while decoding
    leaves a temporary file, which the next one overwrites; its lock is released by the system.

    Args:
        source: source of the images.
        split: ``"train"``, ``"test"`` or ``"validation"``.
        verify: also verify the checksum (about 0.6 s per GB) and decode again if it differs.

    Raises:
        BadInput: if the source cannot be read or the cache folder cannot be written.
    """
    path = cache_dir() / f"{source.dataset}-{split}-v{_FORMAT}-{source.key(split)[:20]}.arrow"
    found = _usable(path, verify)
    if found is None:
        with _building(path):
            found = _usable(path, verify)  # another process may have been faster
            if found is None:
                _log.info("decoding the %s split of %s into %s", split, source.dataset, path)
                _write(path, source.read(split))
                found = _usable(path, verify)
    if found is None:
        raise BadInput(f"the image cache {path} cannot be read back after writing; check the disk")
    return found


def _usable(path: Path, verify: bool) -> CachedImages | None:
    import pyarrow as pa

    try:
        found = _mapped(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        _log.warning("the image cache %s is damaged (%s) and is rebuilt", path, error)
        return None
    if verify and _content(found.images, found.labels) != found.content:
        _log.warning("the image cache %s does not match its checksum and is rebuilt", path)
        return None
    return found


def _mapped(path: Path) -> CachedImages:
    import pyarrow as pa

    # Copy-on-write: torch accepts the view without a copy or a warning about read-only memory.
    mapped = np.memmap(path, dtype=np.uint8, mode="c")
    reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
    header = json.loads(reader.schema.metadata[b"longtail-study"])
    if reader.num_record_batches != 1:
        raise ValueError(f"expected 1 record batch, found {reader.num_record_batches}")
    batch = reader.get_batch(0)
    batch.validate()
    kind = np.dtype(header.get("type", "uint8"))
    rows, size = header["rows"], int(np.prod(header["shape"])) * kind.itemsize
    column = batch.column("image")
    if batch.num_rows != rows or column.type != pa.binary(size) or column.offset:
        raise ValueError(f"expected {rows} rows of {size} bytes, found {batch.num_rows} of {column.type}")
    start = column.buffers()[1].address - mapped.ctypes.data
    images = np.asarray(mapped)[start : start + rows * size].view(kind).reshape(rows, *header["shape"])
    return CachedImages(images, tuple(header["class_names"]), header["content"], batch.column("label"))


@contextmanager
def _building(path: Path) -> Iterator[None]:
    lock = KernelLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise not_writable(path.parent, error) from error
    try:
        yield
    finally:
        lock.release()


def _write(path: Path, split: LabelledImages) -> None:
    # One name per machine: the lock admits one writer, which overwrites the partial file of a killed one.
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.partial")
    try:
        with temporary.open("wb") as file:
            _write_arrow(file, split)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise not_writable(path.parent, error) from error


def _write_arrow(file: Any, split: LabelledImages) -> None:
    import pyarrow as pa

    rows, *shape = split.images.shape
    pixels = np.ascontiguousarray(split.images)
    header = {
        "rows": rows,
        "shape": shape,
        "type": pixels.dtype.str,
        "class_names": split.class_names,
        "content": _content(pixels, split.labels),
    }
    kind = pa.binary(int(np.prod(shape)) * pixels.itemsize)
    images = pa.FixedSizeBinaryArray.from_buffers(kind, rows, [None, pa.py_buffer(pixels)])
    schema = pa.schema(
        [pa.field("image", kind), pa.field("label", pa.int64())],
        metadata={"longtail-study": json.dumps(header)},
    )
    with pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.record_batch([images, pa.array(split.labels)], schema=schema))


def _content(images: npt.NDArray[np.uint8 | np.float32], labels: npt.NDArray[np.int64]) -> str:
    digest = hashlib.sha256(json.dumps(images.shape).encode())
    digest.update(images.data)
    digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    # Makes the rename survive a power failure, on systems that can open a folder.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def not_writable(folder: Path, error: OSError) -> BadInput:
    """Return the error for a cache folder that is full or write-protected."""
    return BadInput(
        f"the cache folder {folder} cannot be written ({error.strerror or error}); set STUDY_CACHE_DIR to a "
        "folder with write access and free space"
    )
