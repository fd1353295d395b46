"""Files on object storage (S3, Google Cloud Storage) behind the part of ``pathlib.Path`` that studies use.

An object is put as a whole: readers see the old content, the new or none, and a killed writer leaves nothing. There are
no folders, no renames and no appends.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cache, total_ordering
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from trainables.core.errors import BadInput
from trainables.core.patience import Patience, ServiceAway

SCHEMES = ("s3", "gs")
"""Schemes of the object storages that studies may lie on."""

PATIENCE = 300.0
"""Seconds for which a storage that does not answer is tried again."""

_SILENT, _LONGEST_PAUSE = 5.0, 10.0
_CONNECT_SECONDS, _REQUEST_SECONDS = 5.0, 30.0
_LASTING = (
    "ACCESS_DENIED",
    "NO_SUCH_BUCKET",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "INVALID_SIGNATURE",
    "SIGNATURE_DOES_NOT_MATCH",
    "MISSING_AUTHENTICATION_TOKEN",
    "UNRECOGNIZED_CLIENT",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "HTTP status 401",
    "HTTP status 403",
)
"""Words of errors that last: the storage gives the same answer to every further try."""
_UNSUPPORTED = ("HTTP status 405", "HTTP status 411", "HTTP status 501")
"""Answers of a server that lacks what was asked for, such as uploads in chunks with a checksum at their end."""
_WITHOUT_CHUNKS = "AWS_REQUEST_CHECKSUM_CALCULATION=when_required may help"
"""Uploads go in chunks with a checksum at their end, which some servers refuse and others store as it came."""

Result = TypeVar("Result")


class StorageFault(OSError):
    """The object storage refuses (errno EACCES) or does not answer (EIO): no trial causes it, every one meets it."""

    def __str__(self) -> str:
        """Return the sentence without the number, which says nothing to a reader."""
        return str(self.strerror)


class ObjectStat(NamedTuple):
    """Size in bytes and time of the last write of an object."""

    st_size: int
    st_mtime: float
    st_mtime_ns: int


@cache
def _file_system(scheme: str) -> Any:
    """Return pyarrow's file system of a scheme; credentials, region and address come from the environment."""
    from pyarrow import fs

    if scheme == "gs":
        patience = timedelta(seconds=_REQUEST_SECONDS)
        if not (emulator := os.environ.get("STORAGE_EMULATOR_HOST")):
            return fs.GcsFileSystem(retry_time_limit=patience)
        how, _, host = emulator.rpartition("://")
        return fs.GcsFileSystem(anonymous=True, endpoint_override=host, scheme=how or "http", retry_time_limit=patience)
    # pyarrow reads the variables of the keys, not those of the address
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return fs.S3FileSystem(
        endpoint_override=address,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        allow_delayed_open=True,  # one request for a small object instead of three
        check_directory_existence_before_creation=True,  # a deletion puts no empty object for its folder
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
    )


_storage = Patience("the object storage", PATIENCE, silent=_SILENT, longest_pause=_LONGEST_PAUSE)


def speak_of_outages(say: Callable[[str], None]) -> None:
    """Say when an object storage does not answer and when it is back, in this process."""
    _storage.say = say


def _away(error: Exception) -> str | None:
    """Return why the storage is away; None for errors that a further try would meet again."""
    lasts = isinstance(error, FileNotFoundError) or any(word in str(error) for word in _LASTING + _UNSUPPORTED)
    return str(error) if isinstance(error, OSError) and not lasts else None


def _patiently(act: Callable[[bool], Result]) -> Result:
    """Call until the storage answers; its other errors, and those that last, are raised at once.

    After an outage of `PATIENCE` seconds each call is tried once, until one succeeds.

    Args:
        act: what to do; its argument is True if an earlier try may have been done without an answer.

    Raises:
        FileNotFoundError: no such object.
        StorageFault: the storage refuses, or does not answer.
    """
    try:
        return _storage.call(act, _away)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageFault(errno.EACCES, f"object storage: {_reason(str(error))}") from None
    except ServiceAway as error:
        raise StorageFault(errno.EIO, str(error)) from None


@total_ordering
class ObjectPath:
    """The address of an object, or the prefix of several: ``s3://bucket/runs/digits``.

    Every call asks the storage anew. One that does not answer is tried again for `PATIENCE` seconds.

    >>> ObjectPath.parsed("s3://bucket/runs/") / "digits" / "study.yaml"
    ObjectPath('s3://bucket/runs/digits/study.yaml')
    """

    __slots__ = ("_parts", "_scheme")

    def __init__(self, scheme: str, parts: tuple[str, ...]) -> None:
        """Take a scheme, and bucket and names in order; the storage is not asked."""
        self._scheme, self._parts = scheme, parts

    @classmethod
    def parsed(cls, url: str) -> ObjectPath:
        """Return the path that a URL names.

        Raises:
            BadInput: the scheme is unknown, or the URL has no bucket, or a part that a path cannot have.
        """
        try:
            given = urlsplit(url)
        except ValueError as error:
            raise BadInput(f"storage '{url}': {error}") from None
        if given.scheme not in SCHEMES:
            allowed = ", ".join(f"{scheme}://bucket/folder" for scheme in SCHEMES)
            raise BadInput(f"storage '{url}': unknown scheme '{given.scheme}'; allowed: a local folder, {allowed}")
        if not given.netloc or "@" in given.netloc or ":" in given.netloc:
            raise BadInput(f"storage '{url}': must name a bucket, as in {given.scheme}://bucket/folder")
        if given.query or given.fragment:
            raise BadInput(
                f"storage '{url}': must be {given.scheme}://bucket/folder without '?' and '#'; "
                "credentials, region and address come from the environment (docs/cluster.md)"
            )
        names = [name for name in given.path.split("/") if name]
        if {".", ".."} & set(names):
            raise BadInput(f"storage '{url}': must not hold the folders '.' and '..'")
        return cls(given.scheme, (given.netloc, *names))

    @property
    def _key(self) -> str:
        return "/".join(self._parts)

    @property
    def _fs(self) -> Any:
        return _file_system(self._scheme)

    @property
    def name(self) -> str:
        """The last name."""
        return self._parts[-1]

    @property
    def parent(self) -> ObjectPath:
        """The path without its last name; of a bucket, the bucket."""
        return ObjectPath(self._scheme, self._parts[:-1] or self._parts)

    @property
    def bucket(self) -> ObjectPath:
        """The bucket alone."""
        return ObjectPath(self._scheme, self._parts[:1])

    def with_name(self, name: str) -> ObjectPath:
        """Return a path beside this one."""
        return self.parent / name

    def relative_to(self, above: ObjectPath) -> str:
        """Return the names below another path, joined by slashes.

        Raises:
            ValueError: the other path is not above this one.
        """
        count = len(above._parts)
        if (self._scheme, self._parts[:count]) != (above._scheme, above._parts):
            raise ValueError(f"{self} is not below {above}")
        return "/".join(self._parts[count:])

    def __truediv__(self, below: str) -> ObjectPath:
        return ObjectPath(self._scheme, (*self._parts, *(name for name in str(below).split("/") if name)))

    def __str__(self) -> str:
        return f"{self._scheme}://{self._key}"

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is not a file of this machine")

    def __repr__(self) -> str:
        return f"ObjectPath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectPath) and str(self) == str(other)

    def __lt__(self, other: ObjectPath) -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def as_posix(self) -> str:
        """Return the URL."""
        return str(self)

    def as_uri(self) -> str:
        """Return the URL."""
        return str(self)

    def resolve(self) -> ObjectPath:
        """Return the path itself."""
        return self

    def mkdir(self, parents: bool = False, exist_ok: bool = False) -> None:
        """Do nothing: an object needs no folder."""

    def read_bytes(self) -> bytes:
        """Return the content.

        Raises:
            FileNotFoundError: there is no such object.
            StorageFault: the storage refuses, or does not answer.
        """

        def read(again: bool) -> bytes:
            with self._fs.open_input_stream(self._key) as stream:
                content: bytes = stream.read()
            return content

        return _patiently(read)

    def read_text(self, encoding: str = "utf-8") -> str:
        """Return the content as text; errors as in `read_bytes`."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> int:
        """Put the whole object; it is stored when this returns.

        Raises:
            StorageFault: the storage refuses, or does not answer.
        """

        def write(again: bool) -> int:
            stream = self._fs.open_output_stream(self._key)
            stream.write(content)
            stream.close()  # the object is put here; after a failed write it must not be
            return len(content)

        return _patiently(write)

    def write_text(self, text: str, encoding: str = "utf-8") -> int:
        """Put a text; errors as in `write_bytes`."""
        return self.write_bytes(text.encode(encoding))

    def _info(self) -> Any:
        return _patiently(lambda again: self._fs.get_file_info(self._key))

    def exists(self) -> bool:
        """Return True if there is such an object, or one below this prefix."""
        return bool(self._info().type.name != "NotFound")

    def is_file(self) -> bool:
        """Return True if there is such an object."""
        return bool(self._info().is_file)

    def is_dir(self) -> bool:
        """Return True if there is an object below this prefix."""
        return bool(self._info().type.name == "Directory")

    def stat(self) -> ObjectStat:
        """Return size and time of the object.

        Raises:
            FileNotFoundError: there is no such object.
        """
        info = self._info()
        if not info.is_file:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return _stat(info)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object.

        Raises:
            FileNotFoundError: there is none.
        """

        def delete(again: bool) -> None:
            try:
                self._fs.delete_file(self._key)
            except FileNotFoundError:  # an earlier try may have deleted it
                if not (missing_ok or again):
                    raise

        _patiently(delete)

    def remove_below(self) -> None:
        """Delete all objects below this prefix."""
        if self._scheme == "gs":  # pyarrow deletes no prefix without an object of its own there
            for path, _ in list(self.files_below()):
                path.unlink(missing_ok=True)
            return
        try:
            _patiently(lambda again: self._fs.delete_dir(self._key))
        except FileNotFoundError:
            return

    def _listed(self, *, recursive: bool) -> list[Any]:
        from pyarrow import fs

        selector = fs.FileSelector(self._key, allow_not_found=True, recursive=recursive)
        found: list[Any] = _patiently(lambda again: self._fs.get_file_info(selector))
        return sorted(found, key=lambda info: str(info.path))

    def _below(self, path: str) -> ObjectPath:
        return ObjectPath(self._scheme, tuple(name for name in path.split("/") if name))

    def _children(self) -> list[tuple[ObjectPath, bool]]:
        """Return what lies directly below, in the order of names, and whether it is an object."""
        if self._scheme != "gs":
            return [(self._below(info.path), bool(info.is_file)) for info in self._listed(recursive=False)]
        found: dict[str, bool] = {}  # pyarrow lists no prefix without an object of its own there
        for path, _ in self.files_below():
            first, _, rest = path.relative_to(self).partition("/")
            found[first] = not rest
        return [(self / name, is_file) for name, is_file in found.items()]

    def iterdir(self) -> Iterator[ObjectPath]:
        """Yield what lies directly below, in the order of names."""
        yield from (path for path, _ in self._children())

    def files_below(self) -> Iterator[tuple[ObjectPath, ObjectStat]]:
        """Yield all objects below this prefix, in one listing."""
        yield from ((self._below(info.path), _stat(info)) for info in self._listed(recursive=True) if info.is_file)

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Yield the paths below that match a pattern of names with ``*``; ``**`` is not supported."""
        first, _, rest = pattern.strip("/").partition("/")
        assert "**" not in pattern, "walk over `files_below` instead"
        if "*" not in first:
            found = self / first
            if rest:
                yield from found.glob(rest)
            elif found.exists():
                yield found
            return
        for found, is_file in self._children():
            if fnmatchcase(found.name, first):
                if not rest:
                    yield found
                elif not is_file:
                    yield from found.glob(rest)

    def check(self, *, writing: bool) -> None:
        """Ask the storage once whether studies can be read here, and stored.

        Args:
            writing: put an object, read it back and delete it again.

        Raises:
            BadInput: the bucket does not exist, access is refused, nothing answers, or objects come back changed.
        """
        probe = self / f".probe-{os.getpid()}-{time.time_ns():x}"
        try:
            if self._fs.get_file_info(self.bucket._key).type.name == "NotFound":
                raise BadInput(f"storage '{self}': the bucket '{self.bucket.name}' does not exist; create it first")
            from pyarrow import fs

            self._fs.get_file_info(fs.FileSelector(self._key, allow_not_found=True))
            if writing:
                stream = self._fs.open_output_stream(probe._key)
                stream.write(b"probe")
                stream.close()
                back = self._fs.open_input_stream(probe._key).read()
                self._fs.delete_file(probe._key)
                if back != b"probe":
                    said = f"an object of 5 bytes came back with {len(back)}, as other bytes"
                    raise BadInput(f"storage '{self}': {said}; {_WITHOUT_CHUNKS}")
        except OSError as error:
            raise BadInput(f"storage '{self}': {_reason(str(error))}") from None


def _stat(info: Any) -> ObjectStat:
    nanoseconds = int(info.mtime_ns or 0)
    return ObjectStat(int(info.size or 0), nanoseconds / 1e9, nanoseconds)


def _reason(said: str) -> str:
    """Return a sentence for what a storage's error says."""
    if any(word in said for word in _LASTING):
        return f"access is refused: credentials are missing or wrong, or lack the permission ({said})"
    if any(word in said for word in _UNSUPPORTED):
        return f"the server does not take such a request; {_WITHOUT_CHUNKS} ({said})"
    return f"cannot be used ({said})"
