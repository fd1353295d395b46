"""The lock of a place: of the kernel on a file of this machine, of a database for object storage."""

from __future__ import annotations

from typing import TypeAlias

from trainables.core import database_lock, kernel_lock
from trainables.core.database_lock import DatabaseLock
from trainables.core.kernel_lock import KernelLock
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath

Lock: TypeAlias = KernelLock | DatabaseLock
"""Both are free again when their holder dies."""


def lock_at(place: StoragePath, database: str | None, patience: float = 0.0) -> Lock:
    """Return the lock of a place; nothing is opened.

    Args:
        place: the lock file, or on object storage only the lock's name: no object is stored.
        database: URL of the PostgreSQL database that holds the locks of an object storage.
        patience: seconds for which that database is asked again while it does not answer.
    """
    if not isinstance(place, ObjectPath):
        return KernelLock(place)
    assert database is not None, "object storage has no locks of its own"
    return DatabaseLock(database, str(place), patience)


def is_locked_at(place: StoragePath, database: str | None) -> bool:
    """Tell whether some process holds the lock of a place.

    Raises:
        OSError: the database cannot be used.
    """
    if not isinstance(place, ObjectPath):
        return kernel_lock.is_locked(place)
    return database is not None and database_lock.is_locked(database, str(place))
