"""The driver in a job that ``study submit`` sent: refuses a storage that would be lost, then runs or resumes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from study.driver.driver_before import wait_for_lock
from study.driver.local_ray import rays_folder
from study.driver.log_lines import CONTINUED_BY
from study.driver.places import with_places
from study.spec.flat_mapping import changed_paths, flat
from study.spec.study_spec import StudySpec
from study.spec.validation import load_spec
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput, shown
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath, storage_path

if TYPE_CHECKING:
    from study.driver.outcome import Outcome

_MOST_DIFFERENCES = 5


def job_storage(given: str | None) -> StoragePath:
    """Return the place of all studies: ``given``, else the head's STUDY_STORAGE.

    Raises:
        BadInput: none is named, or it would be lost: it is relative to the job's folder, or below Ray's own.
    """
    named = given or os.environ.get("STUDY_STORAGE")
    if not named:
        raise BadInput(
            "no storage is named, and Ray's temporary folder of the job is lost with it: add --storage with a folder "
            "that all nodes share (or s3://, gs://), or set STUDY_STORAGE where Ray is started"
        )
    option = "--storage" if given else "STUDY_STORAGE of the head"
    place = storage_path(named)
    if isinstance(place, ObjectPath):
        return place
    if not place.is_absolute():
        raise BadInput(f"{option} {named}: must be an absolute path; a relative one lies in Ray's temporary folder")
    place = place.resolve()
    for folder in _rays_folders():
        if place.is_relative_to(folder):
            raise BadInput(
                f"{option} {named}: is below Ray's temporary folder {folder}, which is lost; name a folder that all "
                "nodes share"
            )
    return place


def _rays_folders() -> list[Path]:
    """Return Ray's temporary folder, as far as a job can know it: the job runs below it."""
    here = Path.cwd().resolve()
    session = next((folder for folder in here.parents if folder.name.startswith("session_")), None)
    own = [] if session is None else [session.parent]
    return [*own, rays_folder().resolve() / "ray"]


def drive(
    spec_path: Path,
    storage: StoragePath,
    overrides: Sequence[str],
    *,
    resume: bool,
    data_dir: Path | None,
    spec: StudySpec | None = None,
    console: Console,
    address: str = "auto",
) -> Outcome:
    """Run a study on the job's cluster, or resume it if it is stored.

    Args:
        spec_path: the sent study file.
        storage: from `job_storage`.
        overrides: ``path=value`` pairs.
        resume: continue the stored study with these overrides.
        data_dir: where the data lie now, if that was given.
        spec: the study with its data folders; None with ``resume``.
        console: where progress is shown.
        address: of the cluster.

    Raises:
        BadInput: another study of this name is stored, or the study, its data or its storage is invalid.
    """
    from study.driver import driver

    name = load_spec(spec_path, tuple(overrides)).name if spec is None else spec.name
    ledger = None if spec is None else with_places(spec).records.ledger
    folder = StudyFolder(storage, name, ledger=ledger)
    if folder.spec_path.exists():
        wait_for_lock(folder, partial(console.print, highlight=False))
    again = os.environ.get(CONTINUED_BY)
    resumed = partial(
        driver.resume, name, storage, address=address, console=console, data_dir=data_dir, continued_by=again
    )
    if resume:
        return resumed(tuple(override for override in overrides if not override.startswith("name=")))
    assert spec is not None
    if folder.spec_path.exists():
        _refuse_another(spec, folder)
        console.print(f"study '{name}' is stored already: resuming it", highlight=False)
        return resumed(())
    return driver.run(spec, storage, address=address, console=console, source=spec_path.name, continued_by=again)


def _refuse_another(spec: StudySpec, folder: StudyFolder) -> None:
    """Refuse to continue a stored study that differs from the sent one; data folders may have moved."""
    old = flat(folder.read_spec().model_dump(mode="json"))
    new = flat(with_places(spec).model_dump(mode="json"))
    changed = [
        f"{path}: {_value(old, path)} there, {_value(new, path)} here"
        for path in changed_paths(old, new)
        if not path.endswith(".data_dir")
    ]
    if changed:
        more = len(changed) - _MOST_DIFFERENCES
        listed = "; ".join(changed[:_MOST_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")
        raise BadInput(
            f"study '{folder.name}' is stored in {folder.storage} with other settings ({listed}). Continue it as it is "
            "stored with --resume (and --set for what may change), or give this one another name with --set name=..."
        )


def _value(mapping: dict[str, object], path: str) -> str:
    return shown(mapping[path], 60) if path in mapping else "nothing"
