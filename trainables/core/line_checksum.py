"""Checksum of a line of JSON, the last key of its object: a line that was changed is told from a sound one."""

from __future__ import annotations

import re
import zlib

_LAST_KEY = re.compile(rb', ?"crc32": ?"([0-9a-f]{8})"\}\n?$')


def checksum(said: bytes) -> str:
    """Return the checksum of an object's text up to where the checksum begins: without the closing brace."""
    return f"{zlib.crc32(said):08x}"


def is_whole(line: bytes) -> bool:
    """Return False if a line differs from its checksum; a line without one, of an earlier version, is taken as it is.

    >>> line = b'{"step":1,"crc32":"%s"}' % checksum(b'{"step":1').encode()
    >>> is_whole(line), is_whole(line.replace(b"1", b"2", 1)), is_whole(b'{"step":1}')
    (True, False, True)
    """
    found = _LAST_KEY.search(line)
    if found is None:
        return b'"crc32"' not in line
    return found[1].decode() == checksum(line[: found.start()])
