"""Reads studies stored in format versions 1 and 2 with the names, default params and meanings of version 3.

Version 1 had no version number and other names. Versions 1 and 2 had other default params and another space of ELM, and
their ``precision: auto`` was bfloat16 on processors that multiply it natively. A resumed study keeps its old trials, so
one study may hold several versions. Content of the current version stays unchanged.
"""

from __future__ import annotations

import copy
from typing import Any

from optuna.trial import FrozenTrial

from search_spaces import SPACES, Choices, Space
from study.search.trial_params import PARAM_SOURCE, PARAMS
from trainables.core.config import FIRST_DEFAULTS
from trainables.core.storage_path import StoragePath
from trainables.core.trial_folder import TrialFolder
from trainables.methods.registry import METHODS

_CHANGED_DEFAULTS: dict[str, dict[str, Any]] = {
    name: dict(METHODS[name].presets[FIRST_DEFAULTS]) for name in ("affinity", "elm", "elm-drw", "offset")
}
_FIRST_SCALES = Choices(choices=(10.0, 20.0, 30.0, 64.0))
_FIRST_SPACES: dict[str, Space] = {name: {**SPACES[name], "scale": _FIRST_SCALES} for name in ("elm", "elm-drw")}
_TRIAL_WORDS = {"origin": PARAM_SOURCE, "values": PARAMS}


def _renamed(given: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: value for name, value in given.items()}


def study_file(given: dict[str, Any], version: int) -> dict[str, Any]:
    """Convert a study file of this version or a later one.

    Version 1 stored a method's params under ``values``. Versions 1 and 2 did not store default params or a method's own
    space: they are added where they have changed since.
    """
    methods = given.get("methods")
    if version >= 3 or not isinstance(methods, list):
        return given
    return {**given, "methods": [_method(m, version) if isinstance(m, dict) else m for m in methods]}


def _method(given: dict[str, Any], version: int) -> dict[str, Any]:
    read = _renamed(given, "values", "params") if version == 1 else dict(given)
    name, preset = read.get("name"), read.get("preset", "recommended")
    if name not in _CHANGED_DEFAULTS:
        return read
    if read.get("search") is None and name in _FIRST_SPACES:
        read["search"] = {field: d.model_dump(mode="json") for field, d in _FIRST_SPACES[name].items()}
    if preset == "recommended":
        return {**read, "preset": FIRST_DEFAULTS}
    searched = SPACES[name] if read.get("search") is None else read["search"]
    unsaid = _CHANGED_DEFAULTS[name].keys() - searched.keys() - METHODS[name].presets.get(preset, {}).keys()
    return {**read, "params": {**{n: _CHANGED_DEFAULTS[name][n] for n in unsaid}, **(read.get("params") or {})}}


def with_automatic_precision(given: dict[str, Any], study_path: StoragePath) -> dict[str, Any]:
    """Convert a study file of version 1 or 2: its ``precision: auto`` is now called ``native``.

    A study whose first trial found was trained on a processor in float32 stays ``auto``: it then keeps its precision
    on any processor. On a GPU both words mean the same.

    Args:
        given: the study file.
        study_path: the study's folder.
    """
    training = given.get("training")
    if not isinstance(training, dict) or training.get("precision", "auto") != "auto":
        return given
    stored = next(study_path.glob("cells/*/*/*/*/trial.json"), None)
    environment = {} if stored is None else (TrialFolder(stored.parent).config() or {}).get("environment", {})
    if environment.get("device") != "cpu" or environment.get("precision") != "bfloat16":
        return given
    return {**given, "training": {**training, "precision": "native"}}


def trial(stored: FrozenTrial) -> FrozenTrial:
    """Convert a trial: version 1 had the user attributes ``origin`` and, for confirmation trials, ``values``."""
    if not stored.user_attrs.keys() & _TRIAL_WORDS.keys():
        return stored
    read = copy.copy(stored)
    read.user_attrs = {_TRIAL_WORDS.get(name, name): value for name, value in stored.user_attrs.items()}
    return read


def warm_starts(stored: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Convert ``warm-starts.json``: version 1 stored params under ``values``."""
    return {cell: [_renamed(one, "values", "params") for one in given] for cell, given in stored.items()}
