"""Checkpoints of a trial: written atomically and read from the newest intact file."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from typing import Any

import torch

from trainables.core.archive_check import archive_damage
from trainables.core.storage_path import StoragePath, write_atomically

KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)\.pt")
_log = logging.getLogger(__name__)


def _by_epoch(folder: StoragePath) -> list[tuple[int, StoragePath]]:
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*.pt"))
    return sorted((int(match[1]), path) for match, path in found if match)


def save_state(path: StoragePath, state: dict[str, Any]) -> None:
    """Write a state atomically: readers see the old file or the new one, never a part."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def save_checkpoint(folder: StoragePath, epoch: int, state: dict[str, Any]) -> None:
    """Write the state after ``epoch`` finished epochs and delete all but the newest `KEPT` checkpoints."""
    save_state(folder / f"checkpoint-{epoch:06d}.pt", state)
    for _, old in _by_epoch(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def _whole(path: StoragePath) -> io.BytesIO:
    """Read an archive and verify its checksums, which torch writes but does not verify on loading."""
    content = path.read_bytes()
    if (damage := archive_damage(content)) is not None:
        raise zipfile.BadZipFile(damage)
    return io.BytesIO(content)


def load_state(path: StoragePath) -> dict[str, Any] | None:
    """Return a stored state on the CPU, or None if the file is missing or damaged; damage is logged.

    Only tensors and plain containers are loaded (``weights_only``), so a file cannot execute code.
    """
    try:
        state: dict[str, Any] = torch.load(_whole(path), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # torch raises many kinds for a damaged archive
        _log.warning("%s cannot be read (%s) and is skipped", path, error)
        return None
    return state


def newest_checkpoint(folder: StoragePath, before: int | None = None) -> dict[str, Any] | None:
    """Return the newest intact state, or None; damaged checkpoints are skipped.

    Args:
        folder: the trial's folder.
        before: consider only checkpoints of earlier epochs than this; None considers all.
    """
    for epoch, path in reversed(_by_epoch(folder)):
        if before is not None and epoch >= before:
            continue
        state = load_state(path)
        if state is not None:
            return state
    return None


def remove_checkpoints(folder: StoragePath, *, kept: int = 0) -> None:
    """Delete the checkpoints of a training that will not be resumed, all but the newest ``kept``."""
    found = _by_epoch(folder)
    for _, path in found[: len(found) - kept]:
        path.unlink(missing_ok=True)
