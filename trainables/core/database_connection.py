"""Connections to a database that may go away: their settings, what counts as an outage, an end to endless waiting."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

from trainables.core.url_secrets import masked

ANSWER_SECONDS = 60.0
"""Seconds after which a server that has taken a statement, and neither answers nor hangs up, counts as away."""

_LIBPQ = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,  # milliseconds for which sent bytes may stay without receipt
}
_READ_ONLY = "25006"
"""PostgreSQL's code for a write to a server that takes none, such as a standby after a failover."""


def engine_settings(url: str) -> dict[str, Any]:
    """Return arguments for SQLAlchemy's ``create_engine``: a connection is tested before use, and a dead one noticed.

    What the URL itself sets stays.
    """
    from sqlalchemy import make_url

    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return {}
    settings: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_driver_name() in ("psycopg", "psycopg2"):
        settings["connect_args"] = {name: value for name, value in _LIBPQ.items() if name not in parsed.query}
    return settings


def outage(error: BaseException) -> str | None:
    """Return why a database is away if an error, or one that it came from, says so; None for any other error.

    Counted are broken connections, refused ones, a server that shuts down, has no room or no connection left, takes
    no writes now, or a deadlock; not counted are statements that are wrong.
    """
    from sqlalchemy.exc import DBAPIError, OperationalError, TimeoutError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (DBAPIError, TimeoutError)):
        cause = cause.__cause__
    if cause is None:
        return None
    said = str(getattr(cause, "orig", None) or cause).strip()
    if isinstance(cause, OperationalError) and said.startswith("no such"):  # SQLite's word for a wrong statement
        return None
    if isinstance(cause, DBAPIError) and not isinstance(cause, OperationalError):
        code = getattr(cause.orig, "sqlstate", None) or getattr(cause.orig, "pgcode", None)
        if not cause.connection_invalidated and code != _READ_ONLY:
            return None
    return masked(said.partition("\n")[0]) or type(cause).__name__


class OpenConnections:
    """The connections of an engine, to be cut by another thread."""

    def __init__(self, engine: Any) -> None:
        """Follow the engine's connections from now on."""
        from sqlalchemy import event

        self._all: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        # without a file descriptor, as in SQLite, there is nothing to cut
        self._follows = engine.dialect.driver in ("psycopg", "psycopg2")
        if self._follows:
            event.listen(engine, "connect", lambda connection, record: self._add(connection))

    def _add(self, connection: Any) -> None:
        with self._lock:
            self._all.add(connection)

    @contextmanager
    def answering(self, seconds: float | None = None) -> Iterator[None]:
        """Cut the connections if what is done inside takes longer, `ANSWER_SECONDS` by default: it then fails."""
        if not self._follows:
            yield
            return
        timer = threading.Timer(ANSWER_SECONDS if seconds is None else seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        with self._lock:
            connections = list(self._all)
        for connection in connections:
            with suppress(Exception):  # a connection that is closed has no descriptor
                copy = socket.socket(fileno=os.dup(connection.fileno()))
                with copy:
                    copy.shutdown(socket.SHUT_RDWR)
