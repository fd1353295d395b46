"""An exclusive lock in a PostgreSQL database that the server frees when its holder's connection ends."""

from __future__ import annotations

import errno
import hashlib
from contextlib import suppress
from functools import cache
from typing import Any

from trainables.core.database_connection import OpenConnections, engine_settings, outage
from trainables.core.errors import shown
from trainables.core.patience import Patience, ServiceAway
from trainables.core.polled_lock import PolledLock, own_name
from trainables.core.url_secrets import masked, revealed

_KEEPALIVE = (
    "SET tcp_keepalives_idle = 20",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 4",
)
"""A holder whose machine is gone closes no connection: the server then asks, and frees the lock after 40 seconds."""


def is_postgresql(url: str | None) -> bool:
    """Return True if a database URL is one of PostgreSQL, which alone has these locks.

    >>> is_postgresql("postgresql+psycopg://me@host/study"), is_postgresql("sqlite:///ledger.db"), is_postgresql(None)
    (True, False, False)
    """
    return url is not None and url.partition(":")[0].partition("+")[0] == "postgresql"


def _number(name: str) -> int:
    """Return the signed 64-bit number that the database knows a lock by."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


@cache
def _engine(url: str) -> tuple[Any, OpenConnections]:
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    full = revealed(url, "STUDY_LEDGER")
    settings = {**engine_settings(full), "poolclass": NullPool, "isolation_level": "AUTOCOMMIT"}
    engine = create_engine(full, **settings)
    return engine, OpenConnections(engine)


class DatabaseLock(PolledLock):
    """One holder's claim to a named lock: an advisory lock of a session of its own.

    It needs no table. All holders must name the same database.
    """

    poll = 0.2

    def __init__(self, url: str, name: str, patience: float = 0.0) -> None:
        """Name database and lock; nothing is opened.

        Args:
            url: of the database.
            name: of the lock.
            patience: seconds for which a database that does not answer is asked again, >= 0.
        """
        self._url, self._name = url, name
        self._patience = patience
        self._connection: Any = None

    @property
    def held(self) -> bool:
        """True if this object took the lock and did not release it."""
        return self._connection is not None

    def still_held(self) -> bool:
        """Ask the database whether the lock is held; a restart of the database frees it. Without it, try to take it.

        Raises:
            OSError: the database does not answer.
        """
        if self._connection is not None:
            try:
                with _engine(self._url)[1].answering():
                    self._connection.exec_driver_sql("SELECT 1")
                return True
            except Exception:  # drivers raise many kinds; a broken connection holds no lock
                self.release()
        return self.try_acquire()

    def sign(self) -> None:
        """Make this process's name that of the connection."""
        with suppress(Exception):  # the name is for a message alone
            self._connection.exec_driver_sql("SELECT set_config('application_name', %s, false)", (own_name(),))

    def holder(self) -> str | None:
        """Return the name of the connection that holds the lock."""
        with suppress(Exception), _engine(self._url)[0].connect() as connection:
            query = f"SELECT application_name FROM pg_stat_activity WHERE pid IN (SELECT pid {_holders(self._name)})"
            found = connection.exec_driver_sql(query).scalar()
            return shown(found) if found else None
        return None

    def release(self) -> None:
        """Free the lock; without effect if it is not held."""
        if self._connection is not None:
            with suppress(Exception):  # a connection that is broken has freed it
                self._connection.close()
            self._connection = None

    def _attempt(self) -> bool:
        try:
            if self._patience:  # a further try takes a new session; the lock of a broken one is freed with it
                connection, held = Patience("the database", self._patience).call(lambda again: self._asked(), outage)
            else:
                connection, held = self._asked()
        except Exception as error:
            raise _unusable(self._url, error) from None
        if held:
            self._connection = connection
        else:
            connection.close()
        return held

    def _asked(self) -> tuple[Any, bool]:
        engine, connections = _engine(self._url)
        with connections.answering():
            connection = engine.connect()
            try:
                held = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({_number(self._name)})").scalar())
                for setting in _KEEPALIVE if held else ():
                    connection.exec_driver_sql(setting)
            except BaseException:
                connection.close()
                raise
        return connection, held


def is_locked(url: str, name: str) -> bool:
    """Tell whether some process holds a lock, without taking it.

    Raises:
        OSError: the database cannot be used.
    """
    try:
        with _engine(url)[0].connect() as connection:
            return bool(connection.exec_driver_sql(f"SELECT count(*) {_holders(name)}").scalar())
    except Exception as error:  # drivers raise many kinds
        raise _unusable(url, error) from None


def _holders(name: str) -> str:
    """Return the end of a query, from FROM on, for the holders of a lock."""
    number = _number(name) % 2**64
    return (
        "FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        f"AND classid = {number >> 32} AND objid = {number % 2**32}"
    )


def _unusable(url: str, error: Exception) -> OSError:
    reason = str(error) if isinstance(error, ServiceAway) else masked(str(error).strip().partition("\n")[0])
    return OSError(errno.EIO, f"locks in {masked(url)} cannot be used: {reason}")
