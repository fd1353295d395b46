"""A trial's checkpoints: written whole or not at all, the newest readable one wins."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from trainables.core.trial_folder import write_atomically

KEPT = 2
_NAME = re.compile(r"checkpoint-(\d+)\.pt")
_log = logging.getLogger(__name__)


def _by_epoch(folder: Path) -> list[tuple[int, Path]]:
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("checkpoint-*.pt"))
    return sorted((int(match[1]), path) for match, path in found if match)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Store a state whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def save_checkpoint(folder: Path, epoch: int, state: dict[str, Any]) -> None:
    """Store the state after ``epoch`` finished epochs; the newest `KEPT` checkpoints are kept."""
    save_state(folder / f"checkpoint-{epoch:06d}.pt", state)
    for _, old in _by_epoch(folder)[:-KEPT]:
        old.unlink(missing_ok=True)


def _whole(path: Path) -> io.BytesIO:
    """Read an archive and compare its checksums: torch writes them, and does not look at them when it loads."""
    content = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(content) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"{damaged} does not match its checksum")
    content.seek(0)
    return content


def load_state(path: Path) -> dict[str, Any] | None:
    """Return a stored state, or None when it is not there or damaged.

    Only tensors and plain containers are read (``weights_only``): nothing in the folder can run code.
    """
    try:
        state: dict[str, Any] = torch.load(_whole(path), map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # torch raises many kinds for a damaged archive
        _log.warning("%s cannot be read (%s): it is passed over", path, error)
        return None
    return state


def newest_checkpoint(folder: Path, before: int | None = None) -> dict[str, Any] | None:
    """Return the newest state that loads, or None; a broken one is skipped for the one before it.

    Args:
        folder: the trial's.
        before: look at checkpoints of earlier epochs than this alone.
    """
    for epoch, path in reversed(_by_epoch(folder)):
        if before is not None and epoch >= before:
            continue
        state = load_state(path)
        if state is not None:
            return state
    return None


def remove_checkpoints(folder: Path) -> None:
    """Free the space of a trial that will not be continued."""
    for _, path in _by_epoch(folder):
        path.unlink(missing_ok=True)
