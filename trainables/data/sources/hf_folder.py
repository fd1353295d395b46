"""Hugging Face data sets: converted once to a folder of Parquet files, which is all that a training reads."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from trainables.core.errors import BadInput
from trainables.core.files import read_regular
from trainables.core.hf_name import HfName, hf_name
from trainables.core.kernel_lock import KernelLock
from trainables.data.sources.drawn_test import DrawnTest
from trainables.data.sources.image_cache import cache_dir
from trainables.data.sources.parquet_folder import UNSPLIT, ParquetFolder
from trainables.data.sources.parquet_writing import written_whole

FOLDER = "hf-datasets"
"""Folder of the converted data sets, below the data folder or the cache."""

_ABOUT = "source.json"
_VERSION = 1
"""Increase it when the conversion changes."""


def hf_source(dataset: str, root: Path | None, image_size: int | None, draw: DrawnTest) -> ParquetFolder:
    """Return the source of a Hugging Face data set; converts it first if it has not been.

    Args:
        dataset: a name that `hf_name` reads.
        root: the data folder, where the conversion is kept if it can be written; None keeps it in the cache.
        image_size: as in `DataConfig`.
        draw: draws the test images if there is neither a test nor a validation split.

    Raises:
        BadInput: `datasets` is not installed, the data set cannot be had, or has not the columns or splits needed.
    """
    name = hf_name(dataset)
    local = _local(name, root)
    content = None if local is None else _content(local)
    folder = _converted(name, root, content)
    if folder is None:
        folder = _convert(name, root, local, content)
    about = _about(folder)
    unsplit = (folder / UNSPLIT).is_file()
    used = about.get("test")
    return ParquetFolder(name.label, folder, image_size, draw if unsplit else None, None if used is None else str(used))


def hf_is_here(dataset: str, root: Path | None) -> bool:
    """Return True if a data set has been converted.

    Raises:
        BadInput: the name is not of the form.
    """
    return _converted(hf_name(dataset), root, None) is not None


def converted_sets(root: Path | None) -> dict[str, Path]:
    """Return the names and folders of all converted data sets, sorted by name."""
    found: dict[str, Path] = {}
    for place in _places(root)[::-1]:
        if place.is_dir():
            folders = [folder for folder in place.iterdir() if not folder.name.startswith(".") and folder.is_dir()]
            found |= {str(about["dataset"]): folder for folder in folders if "dataset" in (about := _about(folder))}
    return dict(sorted(found.items()))


def _places(root: Path | None) -> list[Path]:
    return [place / FOLDER for place in (root, cache_dir()) if place is not None]


def _slug(name: HfName) -> str:
    # a path counts as it is written: a worker may have another home and working folder
    digest = hashlib.sha256(f"{_VERSION} {name.written}".encode()).hexdigest()[:10]
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name.label)[:60]}-{digest}"


def _converted(name: HfName, root: Path | None, content: str | None) -> Path | None:
    """Return the folder of a conversion; of a data set in a folder only if it has this content still."""
    for place in _places(root):
        about = _about(place / _slug(name))
        if about.get("dataset") == name.written and content in (None, about.get("content")):
            return place / _slug(name)
    return None


def _about(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_regular(folder / _ABOUT))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _local(name: HfName, root: Path | None) -> Path | None:
    """Return the folder of a data set that is named by a path, or lies in the data folder; None if it is the Hub's.

    None also for a path that this machine does not see, if its conversion is here.
    """
    if name.is_path:
        folder = Path(name.repository).expanduser().absolute()
        if folder.is_dir():
            return folder
        if _converted(name, root, None) is not None:
            return None
        raise BadInput(f"data set '{name.written}': there is no folder {folder}")
    if root is not None and (root / name.repository).is_dir():
        return root / name.repository
    return None


def _content(folder: Path) -> str:
    """Hash names, sizes and times of all files of a folder."""
    lines = []
    for place, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = Path(place) / file
            status = path.stat()
            lines.append(f"{path.relative_to(folder)} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _convert(name: HfName, root: Path | None, local: Path | None, content: str | None) -> Path:
    from trainables.data.sources.hf_conversion import convert

    place = next((each for each in _places(root) if _writable(each)), _places(root)[-1])
    folder = place / _slug(name)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{place} cannot be written ({error.strerror or error})") from error

    def say(line: str) -> None:
        print(f"  {name.written}: {line}", file=sys.stderr, flush=True)

    def write(target: Path) -> None:
        about = convert(name, local, target, say)
        known = {"dataset": name.written, "content": content, **about}
        (target / _ABOUT).write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")

    with KernelLock(place / f".{folder.name}.lock"):
        found = _converted(name, root, content)  # another process may have been faster
        if found is not None:
            return found
        written_whole(folder, write)
        say(f"kept as Parquet in {folder}")
    return folder


def _writable(place: Path) -> bool:
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    return os.access(existing, os.W_OK)
