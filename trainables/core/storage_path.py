"""Places of files: a local path, or a path on object storage, with the operations that both have."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeAlias

from trainables.core.errors import BadInput, shown
from trainables.core.object_path import ObjectPath

StoragePath: TypeAlias = Path | ObjectPath
"""A file or folder of this machine, or an object or prefix of an object storage."""

_BROKEN_URL = re.compile(r"(?P<scheme>s3|gs)(?::/(?!/)|//)")


def storage_path(written: str | Path) -> StoragePath:
    """Return the place that a path or a URL names, as ``str`` of a place gives it.

    Raises:
        BadInput: a URL that cannot be one of an object storage, one that has lost its colon or a slash, as a URL that
            was made a `Path` has, or a ``file://`` one with ``?`` or ``#``.

    >>> storage_path("/data/runs"), storage_path("s3://bucket/runs"), storage_path("file:///data/runs")
    (PosixPath('/data/runs'), ObjectPath('s3://bucket/runs'), PosixPath('/data/runs'))
    """
    text = str(written)
    if found := _BROKEN_URL.match(text):
        raise BadInput(
            f"storage '{shown(text)}': looks like a URL without its colon or a slash; write "
            f"{found['scheme']}://bucket/folder, or ./{found['scheme']}... for a folder of this machine"
        )
    if isinstance(written, Path) or "://" not in text:
        return Path(written)
    if text.startswith("file:///"):
        if set(text) & set("?#"):  # a part that a folder does not have, and may be a password
            raise BadInput("storage file:///...: must be file:///folder without '?' and '#', or a path")
        return Path(text.removeprefix("file://"))
    return ObjectPath.parsed(text)


def write_atomically(path: StoragePath, content: bytes, *, durable: bool = True) -> None:
    """Write a file so that readers see the old content or the new, never a part.

    Args:
        path: the file to create or replace.
        content: all of it.
        durable: wait until the bytes are on the disk, so that a power cut cannot empty the file either.
    """
    if isinstance(path, ObjectPath):
        path.write_bytes(content)
        return
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


class StoredFile(NamedTuple):
    """A file below a place: the names of its folders below it, its own name, bytes and time of the last write."""

    folder: str
    name: str
    size: int
    modified: float


def files_below(place: StoragePath) -> Iterator[StoredFile]:
    """Yield all files below a folder or prefix, none if it does not exist; a file that disappears is left out."""
    if isinstance(place, ObjectPath):
        for path, found in place.files_below():
            folder, _, name = path.relative_to(place).rpartition("/")
            yield StoredFile(folder, name, found.st_size, found.st_mtime)
        return
    for folder, _, names in os.walk(place):
        below = Path(folder).relative_to(place).as_posix()
        for name in sorted(names):
            with suppress(FileNotFoundError):
                stat = os.stat(os.path.join(folder, name))
                yield StoredFile("" if below == "." else below, name, stat.st_size, stat.st_mtime)


def remove_below(place: StoragePath) -> None:
    """Delete a folder or prefix with all that it holds; nothing if it does not exist."""
    if isinstance(place, ObjectPath):
        place.remove_below()
    else:
        with suppress(FileNotFoundError):
            shutil.rmtree(place)


def mark_used(path: StoragePath) -> None:
    """Note that a file was used now: in its time of change, or on object storage in an object ``used`` beside it."""
    if isinstance(path, ObjectPath):
        path.with_name("used").write_bytes(b"")
    else:
        with suppress(FileNotFoundError):  # removed meanwhile: what was read is whole
            os.utime(path)


@contextmanager
def local_copy(path: StoragePath) -> Iterator[Path]:
    """Give a file of this machine with the content of a place, for programs that read files alone.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if isinstance(path, Path):
        yield path
        return
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / path.name
        copy.write_bytes(path.read_bytes())
        yield copy
