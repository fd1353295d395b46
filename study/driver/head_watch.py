"""Watches the head of a joined Ray cluster: without it Ray ends its driver after a minute, in words of its own."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from urllib.parse import urlsplit

_EVERY = 3.0
_ANSWER_WITHIN = 5.0
_REFUSED_FOR = 15.0
"""Seconds after which a head whose machine refuses the connection, or takes it and closes it, is gone."""
_SILENT_FOR = 40.0
"""The same of one that says nothing: a machine that is overloaded is silent, too. Ray itself waits 60 s."""

_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""The first bytes of an HTTP/2 client, which gRPC uses: the preface and empty settings (RFC 9113, section 3.4)."""
_FRAME_HEAD, _TYPE, _SETTINGS = 9, 3, 4
"""Bytes of a frame's head, the place of its type there, and the type with which a server must begin."""


class HeadWatch:
    """Asks the head every few seconds, from a thread, until the end of a ``with`` block."""

    def __init__(
        self,
        address: str,
        lost: Callable[[str], None],
        *,
        every: float = _EVERY,
        refused_for: float = _REFUSED_FOR,
        silent_for: float = _SILENT_FOR,
    ) -> None:
        """Call ``lost`` from the thread with the reason, once, should the head not answer any more.

        Args:
            address: ``host:port`` of the cluster.
            lost: told of it.
            every: seconds between two questions.
            refused_for: seconds of refused or closed connections after which the head is lost.
            silent_for: seconds without any answer after which it is lost.
        """
        self._address, self._lost = address, lost
        self._every, self._refused_for, self._silent_for = every, refused_for, silent_for
        self._over = threading.Event()

    def __enter__(self) -> HeadWatch:
        """Begin."""
        threading.Thread(target=self._watch, name="head-watch", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop asking."""
        self._over.set()

    def _watch(self) -> None:
        answered = time.monotonic()
        while not self._over.wait(self._every):
            asked = time.monotonic()
            try:
                ask(self._address)
            except OSError as error:
                limit = self._silent_for if isinstance(error, TimeoutError) else self._refused_for
                gone = time.monotonic() - answered
                if gone >= limit and not self._over.is_set():
                    reason = error.strerror or str(error) or "no answer"
                    self._lost(
                        f"the head of the Ray cluster at {self._address} has not answered for {gone:.0f} s ({reason})"
                    )
                    return
            else:
                answered = asked


def ask(address: str, within: float = _ANSWER_WITHIN) -> None:
    """Connect to a gRPC server and wait for its first frame; where Ray uses TLS, only connect.

    Raises:
        TimeoutError: it does not answer in time.
        OSError: the connection is refused or closed, or what listens does not speak HTTP/2.
    """
    parts = urlsplit(f"//{address}")
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=within) as connection:
        if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
            return
        connection.sendall(_HELLO)
        head = b""
        while len(head) < _FRAME_HEAD:
            if not (got := connection.recv(_FRAME_HEAD - len(head))):
                raise ConnectionResetError("it closes the connection")
            head += got
        if head[_TYPE] != _SETTINGS:
            raise ConnectionError("something else listens there")
