"""MLflow's SQLite file: creates, checks and corrects it, and finds the newest experiment.

This is the one module that relies on MLflow's private parts: the tables ``experiments``, ``experiment_tags``, ``runs``
and ``logged_models`` with the columns named below, and `SqlAlchemyStore`, which creates them. MLflow offers no public
call for either without a server or seconds of imports. tests/study/tracking/test_sqlite.py names the versions that it
was checked with.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from study.tracking.saved_views import VIEW_TAG
from trainables.core.errors import BadInput
from trainables.core.kernel_lock import KernelLock

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def _connected(database: Path) -> Iterator[sqlite3.Connection]:
    # "rw" lets SQLite roll back a killed writer's transaction, which "ro" does not; neither creates the file
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=30)) as connection:
        yield connection


def create_database(path: Path, artifacts: Path) -> None:
    """Create the tables in a temporary file and rename it when it is complete.

    MLflow takes seconds and some sixty migrations for it. A process killed in between would leave a file that
    MLflow cannot complete.
    """
    if _begun(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial")
    with KernelLock(path.with_name(f".{path.name}.lock")):
        if _begun(path):  # another process created it first
            return
        for left in path.parent.glob(f"{scratch.name}*"):  # left by a killed process: the file and SQLite's journal
            left.unlink()
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        store = SqlAlchemyStore(f"sqlite:///{scratch}", artifacts.as_uri())  # type: ignore[no-untyped-call]
        store.engine.dispose()
        os.replace(scratch, path)


def _begun(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0  # an empty file is not a database yet


def check_database(database: Path) -> None:
    """Raise `BadInput` if an existing file is not a complete SQLite database.

    SQLite compares the size in the file's header with the file's. MLflow would retry for minutes and end in a
    traceback.
    """
    try:
        with _connected(database) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
            return
        raise BadInput(
            f"{database}: cannot be read as MLflow's database ({error}); put back a copy of it, or move it away: "
            f"`study record NAME` then writes a study's records anew"
        ) from None


def follow_artifacts(database: Path, artifacts: Path) -> int:
    """Correct a database's artifact locations after its storage folder was moved, renamed or copied.

    MLflow stores an absolute location for every experiment and run. A location in another ``mlartifacts`` folder is
    changed to the folder beside the database if the other no longer exists, or if this one has the experiment too.

    Args:
        database: the SQLite file, which must be complete.
        artifacts: the artifact folder beside it.

    Returns:
        The number of corrected experiments.
    """
    here = artifacts.as_uri()
    try:
        with _connected(database) as connection:
            rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
            moved = [place for (place,) in rows if _moved(place, artifacts)]
            with connection:
                for place in moved:
                    _replace(connection, place, f"{here}/{place.rpartition('/')[2]}")
    except sqlite3.DatabaseError:
        return 0  # no tables yet, busy, not writable or damaged: the locations stay as they are
    return len(moved)


def _moved(place: str | None, artifacts: Path) -> bool:
    root, _, name = (place or "").rpartition("/")
    if not root.startswith("file://") or not root.endswith(f"/{artifacts.name}") or root == artifacts.as_uri():
        return False
    return not Path(unquote(urlsplit(root).path)).exists() or (artifacts / unquote(name)).exists()


def _replace(connection: sqlite3.Connection, old: str, new: str) -> None:
    connection.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (new, old))
    start = f"{old}/"
    for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
        connection.execute(
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",
            (f"{new}/", len(start) + 1, len(start), start),
        )


@dataclass(frozen=True)
class StoredExperiment:
    """An experiment: its id, its name, and the keys of its saved views."""

    id: str
    name: str
    views: frozenset[str]


def find_experiment(database: Path, name: str | None = None) -> StoredExperiment | None:
    """Return the experiment of this name, or the newest other than MLflow's Default; None if there is none."""
    query = "SELECT experiment_id, name FROM experiments WHERE lifecycle_stage = 'active' AND experiment_id != 0"
    named, given = ("", ()) if name is None else (" AND name = ?", (name,))
    tags = "SELECT key FROM experiment_tags WHERE experiment_id = ?"
    try:
        with _connected(database) as connection:
            order = "ORDER BY creation_time DESC, experiment_id DESC LIMIT 1"
            found = connection.execute(f"{query}{named} {order}", given).fetchone()
            keys = [] if found is None else [key for (key,) in connection.execute(tags, found[:1])]
    except sqlite3.DatabaseError:
        return None
    if found is None:
        return None
    views = frozenset(key.removeprefix(VIEW_TAG) for key in keys if key.startswith(VIEW_TAG))
    return StoredExperiment(str(found[0]), str(found[1]), views)
