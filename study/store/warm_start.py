"""Warm starts: the best params of earlier studies in the storage, as first trials of a new study."""

from __future__ import annotations

from collections.abc import Sequence

from study.search.transfer import nearness, suggestion_of
from study.search.transferred_params import TransferredParams
from study.spec.cell import Cell
from study.spec.study_spec import StudySpec
from study.store.seals import sealed_json, unsealed_json
from study.store.study_folder import StudyFolder
from study.store.study_view import StudyView, open_view
from trainables.core.errors import BadInput
from trainables.core.storage_path import StoragePath, write_atomically

MOST_WARM_STARTS = 3
"""Maximum number of a cell's trials with params from earlier studies, at most one from each earlier cell."""

WarmStarts = dict[str, list[TransferredParams]]
"""Name of a cell -> its suggestions, from the nearest cell first."""


def find_warm_starts(spec: StudySpec, cells: Sequence[Cell], storage: StoragePath, *, source: str) -> WarmStarts:
    """Find the best params of the earlier studies that a new study starts from.

    Args:
        spec: the new study.
        cells: the new study's cells.
        storage: the folder of all studies.
        source: the study file's name in messages.

    Raises:
        BadInput: an earlier study does not exist or cannot be read.
    """
    views = [_view(storage, name, f"{source}: search.warm_start[{i}]") for i, name in enumerate(spec.search.warm_start)]
    return {cell.name: _nearest(cell, views) for cell in cells} if views else {}


def _view(storage: StoragePath, name: str, where: str) -> StudyView:
    try:
        return open_view(StudyFolder(storage, name))
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def _nearest(cell: Cell, views: Sequence[StudyView]) -> list[TransferredParams]:
    """Return the best params of earlier cells of the same method: same preset first, then by data and ratio."""
    if not cell.space:
        return []
    found = []
    for view in views:
        for earlier in view.cells:
            other, best = earlier.cell, earlier.best()
            if best is not None and other.base.method.name == cell.base.method.name:
                trial = next(t for t in earlier.frozen if t.number == best.number)
                place = (other.base.method != cell.base.method, *nearness(cell, other))
                found.append((place, suggestion_of(cell, other, trial, f"warm start: {view.spec.name} ")))
    ordered = [suggestion for _, suggestion in sorted(found, key=lambda pair: pair[0]) if suggestion is not None]
    return ordered[:MOST_WARM_STARTS]


def warm_starts_path(folder: StudyFolder) -> StoragePath:
    """Return the path of the stored warm starts."""
    return folder.path / "warm-starts.json"


def keep_warm_starts(folder: StudyFolder, found: WarmStarts) -> None:
    """Store the warm starts: an earlier study may continue or be deleted before this one is resumed."""
    plain = {cell: [{"params": s.params, "source": s.source} for s in given] for cell, given in found.items()}
    write_atomically(warm_starts_path(folder), sealed_json(plain))


def read_warm_starts(folder: StudyFolder, spec: StudySpec) -> WarmStarts:
    """Return the warm starts stored when the study was started.

    Raises:
        BadInput: the study has warm starts, and their file is missing or damaged.
    """
    if not spec.search.warm_start:
        return {}
    try:
        stored = folder.read_warm_starts_file(unsealed_json(warm_starts_path(folder)))
        return {
            cell: [TransferredParams(one["params"], one["source"]) for one in given] for cell, given in stored.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = str(error) if isinstance(error, BadInput) else f"{warm_starts_path(folder)}: cannot be read ({error})"
        raise BadInput(f"{said}; put back a copy of it, or start a new study") from None
