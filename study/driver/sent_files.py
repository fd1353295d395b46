"""Files of a job: the study file, its plug-ins, overrides that hold a password, and this installation's code."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from study.spec.study_plugins import store_plugins
from study.spec.study_spec import StudySpec
from study.spec.yaml_io import write_overrides
from trainables.core.url_secrets import masked

PACKAGES = ("study", "trainables", "search_spaces")
"""Packages of the project. A job's folder is ahead of the head's installation on the path of driver and workers."""

OVERRIDES_FILE = "overrides"
"""File beside the sent study file. Ray shows a job's command and its environment to everyone who may list jobs."""


def sent_name(spec_path: Path) -> str:
    """Return the name of a study file in a job's folder: its own, with an ending that nothing else there has."""
    return spec_path.name if spec_path.suffix in (".yaml", ".yml") else f"{spec_path.name}.yaml"


@contextmanager
def sent_files(
    spec: StudySpec, spec_path: Path, overrides: Sequence[str], *, code: bool
) -> Iterator[tuple[Path, Sequence[str]]]:
    """Make a temporary folder with all files of a job.

    Args:
        spec: the checked study, whose plug-ins are active.
        spec_path: the study file.
        overrides: ``path=value`` pairs; written to a file if one holds a password.
        code: copy the packages, too.

    Returns:
        The folder, and the overrides with which the study file there is read: plug-ins have other places in it.
    """
    with tempfile.TemporaryDirectory(prefix="study-submit-") as made:
        folder = Path(made)
        shutil.copy(spec_path, folder / sent_name(spec_path))
        if spec.plugins:
            overrides = [*overrides, f"plugins=[{', '.join(store_plugins(spec, folder).plugins)}]"]
        if are_secret(overrides):
            write_overrides(folder / OVERRIDES_FILE, overrides)
        if code:
            copy_code(folder)
        yield folder, overrides


def copy_code(folder: Path) -> None:
    """Copy the packages of this installation."""
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        assert found is not None and found.submodule_search_locations
        place = Path(found.submodule_search_locations[0])
        shutil.copytree(place, folder / package, ignore=shutil.ignore_patterns("__pycache__", ".*"))


def are_secret(overrides: Sequence[str]) -> bool:
    """Tell whether an override holds a password."""
    return any(masked(override) != override for override in overrides)
