"""Tries a ledger's database: whether it answers, whether this user may write there, and how its clock goes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from trainables.core.database_lock import is_postgresql
from trainables.core.errors import BadInput, shown
from trainables.core.url_secrets import masked, revealed

_CONNECT_SECONDS = 10


class Database(NamedTuple):
    """What a database says of itself.

    Attributes:
        version: name and version.
        writable: False if this user may only read.
        clock: seconds by which its clock is ahead of this machine's; 0 for a file.
    """

    version: str
    writable: bool
    clock: float = 0.0


def try_database(url: str) -> Database:
    """Open a database and ask it; nothing is written.

    Args:
        url: of the ledger, without the password.

    Raises:
        BadInput: it does not answer, refuses the user, or its driver is not installed.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    limit = {"connect_timeout": _CONNECT_SECONDS} if is_postgresql(url) else {}
    try:
        engine = create_engine(revealed(url, "STUDY_LEDGER"), poolclass=NullPool, connect_args=limit)
        file = engine.url.database if engine.dialect.name == "sqlite" else None
        if file:
            place = next(path for path in (Path(file), *Path(file).absolute().parents) if path.exists())
            return Database(f"SQLite file {file}", writable=os.access(place, os.W_OK))
        with engine.connect() as connection:
            if not is_postgresql(url):
                connection.exec_driver_sql("SELECT 1")
                return Database(engine.dialect.name, writable=True)
            begin = time.time()
            version, now, replica, may = connection.exec_driver_sql(
                "SELECT current_setting('server_version'), extract(epoch FROM clock_timestamp()), pg_is_in_recovery(), "
                "has_schema_privilege(current_schema(), 'CREATE')"
            ).one()
            clock = float(now) - (begin + time.time()) / 2
            return Database(f"PostgreSQL {version}", writable=bool(may) and not replica, clock=clock)
    except Exception as error:  # SQLAlchemy and its drivers raise many types
        raise BadInput(f"cannot open {masked(url)}: {shown(' '.join(str(error).split()), 400)}") from None
