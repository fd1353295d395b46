"""The stored study of a planned one; a study of the same name with other settings is refused."""

from __future__ import annotations

from study.spec.flat_mapping import flat
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.study_view import StudyView, open_view
from trainables.core.errors import BadInput
from trainables.core.storage_path import StoragePath

_FREE = ("name", "question", "resources", "records", "artifacts", "search.concurrency", "search.cell_concurrency",
         "search.order", "search.wall_hours")  # fmt: skip
"""Settings that change no figure, so that a stored study may have others."""


def is_stored(spec: StudySpec, storage: StoragePath) -> bool:
    """Return True if a study of this name is stored."""
    return StudyFolder(storage, spec.name).spec_path.exists()


def stored_view(spec: StudySpec, storage: StoragePath) -> StudyView | None:
    """Return the stored study of a planned one, or None if it was not started.

    Raises:
        BadInput: the stored study has other settings, so that its figures are not those of the table.
    """
    if not is_stored(spec, storage):
        return None
    view = open_view(StudyFolder(storage, spec.name))
    planned, stored = flat(spec.model_dump(mode="json")), flat(view.spec.model_dump(mode="json"))
    for path in sorted(planned.keys() | stored.keys()):
        want, have = planned.get(path), stored.get(path)
        if want == have or path.startswith(_FREE) or path.endswith((".data_dir", ".memory_budget_gb")):
            continue
        if path == "confirm.seeds" and want is not None and have is not None and have > want:
            continue
        raise BadInput(
            f"study '{spec.name}' in {storage} is not the study of the table: {path} is {have}, not {want}; "
            f"name another folder with --storage"
        )
    return view
