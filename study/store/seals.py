"""Checksums inside the small files of a study's folder: a file that was cut short or changed is told from a new fact.

The files are still read without them: studies of an earlier version have none.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import Any

from trainables.core.errors import BadInput
from trainables.core.storage_path import StoragePath

_KEY = "crc32"
_COMMENT = b"# crc32 of the lines below: "
_SEAL = re.compile(rb"# crc32 of the lines below: ([0-9a-f]{8})\n")


def sealed_json(mapping: dict[str, Any]) -> bytes:
    """Return a mapping as JSON whose last key is a checksum of the others."""
    return json.dumps({**mapping, _KEY: _of(mapping)}, indent=1).encode()


def unsealed_json(path: StoragePath) -> dict[str, Any]:
    """Return the mapping of `sealed_json`, without the checksum.

    Raises:
        BadInput: the file does not match its checksum; the message has no remedy yet.
        OSError, ValueError: it cannot be read, or is not JSON.
    """
    loaded = json.loads(path.read_bytes())
    if not isinstance(loaded, dict):
        raise ValueError(f"must hold a mapping, got {type(loaded).__name__}")
    said = loaded.pop(_KEY, None)
    if said is not None and said != _of(loaded):
        raise BadInput(f"{path}: was changed after it was written, its checksum differs")
    return loaded


def _of(mapping: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(mapping, sort_keys=True).encode()):08x}"


def sealed_text(text: str) -> bytes:
    """Return a text below a comment with its checksum."""
    content = text.encode()
    return _COMMENT + b"%08x\n" % zlib.crc32(content) + content


def is_sealed(path: StoragePath) -> bool:
    """Return True if a file is one of `sealed_text`, whole or not."""
    try:
        return path.read_bytes().startswith(_COMMENT)
    except OSError:
        return False


def check_text(path: StoragePath) -> None:
    """Check a file of `sealed_text`; one without a checksum, or that cannot be read, is left to its reader.

    Raises:
        BadInput: the file does not match its checksum.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return
    found = _SEAL.match(content)
    # the comment itself may be cut or changed
    if found is None:
        whole = not content.startswith(b"# crc32")
    else:
        whole = int(found[1], 16) == zlib.crc32(content[found.end() :])
    if not whole:
        raise BadInput(
            f"{path}: was changed after it was stored, its checksum differs; put back a copy of it. "
            "If the change is meant, remove the first line"
        )
