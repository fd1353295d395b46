"""The ready study files that come with the packages, by name. Imports nothing heavy: every command starts with it."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "studies"
"""Folder of the ready studies: beside the packages, in a checkout as in an installed package."""


def study_file(given: str | Path) -> Path:
    """Return the study file that is meant by a path or by the name of a ready study.

    >>> study_file("quickstart").name, study_file("papers/elm-table-1").name, study_file("mine.yaml")
    ('quickstart.yaml', 'elm-table-1.yaml', PosixPath('mine.yaml'))
    """
    path = Path(given)
    ready = FOLDER / f"{path}.yaml"
    if path.suffix or path.is_absolute() or ".." in path.parts or path.exists() or not ready.is_file():
        return path
    return ready
