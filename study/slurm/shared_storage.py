"""Says whether a folder looks as if other machines did not see it. Nodes of a job must see a study's storage."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil

_LOCAL_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run")
_LOCAL_KINDS = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "ramfs", "squashfs", "vfat", "apfs"}


def doubt(folder: Path) -> str | None:
    """Return why other machines may not see a folder, or None.

    Args:
        folder: need not exist.
    """
    place = folder.resolve()
    for local in (*_LOCAL_FOLDERS, tempfile.gettempdir()):
        if place.is_relative_to(Path(local).resolve()):
            return f"{place} is below {local}, which every machine has for itself"
    kind = _file_system(place)
    return f"{place} is on a local disk ({kind})" if kind in _LOCAL_KINDS else None


def _file_system(place: Path) -> str:
    """Return the kind of the file system that a path is on; empty if unknown."""
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    return next((mounts[folder] for folder in (place, *place.parents) if folder in mounts), "")
