"""Plug-ins of a study: activated before its names are checked, and stored beside it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from study.spec.study_spec import StudySpec
from trainables.core.plugin_source import PluginSource, find_source
from trainables.core.plugin_table import TABLES, activate, active_sources
from trainables.core.storage_path import StoragePath

FOLDER = "plugins"
"""Folder beside a stored study file that holds the copies of its plug-ins."""


def activate_plugins(given: Sequence[str], folder: StoragePath) -> None:
    """Make the plug-ins of a study, and no others, active in this process.

    Args:
        given: paths and modules, as under ``plugins`` of a study file.
        folder: the folder that paths count from.

    Raises:
        BadInput: a plug-in is missing, cannot be imported, has nothing useful, or shares a name with something else.
    """
    if not given and not active_sources():
        return  # nothing to import
    _import_tables()
    activate([find_source(each, folder) for each in given])


def activate_given(mapping: dict[str, Any], folder: StoragePath) -> None:
    """Do `activate_plugins` for the content of a study file; what is not a list of texts is left to its schema.

    Raises:
        BadInput: as `activate_plugins`.
    """
    given = mapping.get("plugins", [])
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        activate_plugins(given, folder)


def used_sources(spec: StudySpec) -> list[PluginSource]:
    """Return the active plug-ins, then those of installed packages whose things a study names."""
    sources = {source.name: source for source in active_sources()}
    for group, name in _named(spec):
        source = TABLES[group].source_of(name) if group in TABLES else None
        if source is not None:
            sources.setdefault(source.name, source)
    return list(sources.values())


def store_plugins(spec: StudySpec, folder: StoragePath) -> StudySpec:
    """Store the source of a study's plug-ins in a folder, and return the study with the paths of the copies.

    Args:
        spec: the checked study, whose plug-ins are active.
        folder: the folder of the study file that will be stored.
    """
    names = [source.store(folder / FOLDER) for source in used_sources(spec)]
    return spec.model_copy(update={"plugins": tuple(f"{FOLDER}/{name}" for name in names)})


def _named(spec: StudySpec) -> Iterator[tuple[str, str]]:
    for method in spec.methods:
        yield "methods", method.name
        yield "spaces", method.name
    yield "backbones", spec.model.name
    yield from (("datasets", data.dataset) for data in spec.data)
    yield "optimizers", spec.training.optimizer
    yield "searchers", spec.search.searcher
    yield "pruners", spec.search.pruner.name


def _import_tables() -> None:
    """Import the file of every table; a plug-in must have something for one of them."""
    for module in (
        "trainables.methods.registry",
        "search_spaces",
        "trainables.backbones",
        "trainables.components.optimizers",
        "trainables.data.sources.own_dataset",
        "study.spec.search_tables",
    ):
        importlib.import_module(module)
