"""MLflow's SQLite file, looked at without MLflow: is it whole, where are its artifacts, what is newest in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from trainables.core.errors import BadInput

_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def _connected(database: Path) -> Iterator[sqlite3.Connection]:
    # rw: what a killed writer left half done is taken back; "ro" could not do that. It never creates the file.
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True, timeout=30)) as connection:
        yield connection


def check_database(database: Path) -> None:
    """Raise `BadInput` if an existing file is no SQLite database, or only a part of one.

    SQLite itself compares the size in the file's head with the file's; MLflow would try again for minutes, and end
    in a traceback.
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
    """Correct where a database says its artifacts are, after its storage folder was moved, renamed or copied.

    MLflow keeps absolute places for every experiment and run. A place in another ``mlartifacts`` folder is changed
    to the one beside the database where the other does not exist any more, or where this one has the experiment too.

    Args:
        database: the SQLite file, whole.
        artifacts: the folder of artifacts beside it.

    Returns:
        The number of experiments that were corrected.
    """
    here = artifacts.as_uri()
    try:
        with _connected(database) as connection:
            rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
            moved = [place for (place,) in rows if _moved(place, artifacts)]
            with connection:
                for place in moved:
                    _replace(connection, place, f"{here}/{place.rpartition('/')[2]}")
    except sqlite3.OperationalError:
        return 0  # no tables yet, busy, or on a disk that cannot be written: then it stays as it is
    return len(moved)


def _moved(place: str | None, artifacts: Path) -> bool:
    root, _, name = (place or "").rpartition("/")
    if not root.startswith("file://") or not root.endswith(f"/{artifacts.name}") or root == artifacts.as_uri():
        return False
    return not Path(unquote(urlsplit(root).path)).exists() or (artifacts / unquote(name)).exists()


def _replace(connection: sqlite3.Connection, old: str, new: str) -> None:
    connection.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (new, old))
    start = f"{old}/"
    connection.execute(
        "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?",
        (f"{new}/", len(start) + 1, len(start), start),
    )


def newest_experiment(database: Path) -> str | None:
    """Return the id of the experiment that was created last, MLflow's own empty one left aside; None without one."""
    query = "SELECT experiment_id FROM experiments WHERE lifecycle_stage = 'active' AND experiment_id != 0"
    try:
        with _connected(database) as connection:
            found = connection.execute(f"{query} ORDER BY creation_time DESC, experiment_id DESC LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        return None
    return None if found is None else str(found[0])
