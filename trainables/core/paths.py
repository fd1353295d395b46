"""Folders as users write them: with ``~``, relative, or not possible at all."""

from __future__ import annotations

from pathlib import Path

from trainables.core.errors import BadInput


def folder_named(written: str | Path, origin: str) -> Path:
    """Return the absolute path of a folder that a user named; it need not exist.

    Args:
        written: as it was given, perhaps with ``~`` or ``~user``.
        origin: what names it, for the message: a key, an option or an environment variable.

    Raises:
        BadInput: no folder can have this name: an unknown user's home, a NUL byte, a name too long.

    >>> folder_named("/data/../data", "`data_dir`")
    PosixPath('/data')
    """
    try:
        if "\0" in str(written):
            raise ValueError("it holds a NUL byte")
        folder = Path(written).expanduser()
        folder.is_dir()  # asks the system, which refuses names that are too long
        return folder.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        raise BadInput(f"{origin} names {str(written)!r}, which cannot be a folder: {why}") from None


def data_folder_named(written: str | Path, origin: str) -> Path:
    """Return the absolute path of a folder of data sets that a user named.

    Args:
        written: as it was given, perhaps with ``~`` or ``~user``.
        origin: what names it, for the message: a key, an option or an environment variable.

    Raises:
        BadInput: there is no such folder, or none can have this name.
    """
    folder = folder_named(written, origin)
    if not folder.is_dir():
        raise BadInput(f"{origin} names {folder}, which is not a folder; expected a folder of data sets")
    return folder
