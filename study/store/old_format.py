"""Reads studies stored in format version 1, which had no version number, with the names of version 2.

A version 1 study keeps its trials when it is resumed, so one study may hold both versions. Every function here leaves
version 2 content unchanged.
"""

from __future__ import annotations

import copy
from typing import Any

from optuna.trial import FrozenTrial

from study.search.trial_params import PARAM_SOURCE, PARAMS

_TRIAL_WORDS = {"origin": PARAM_SOURCE, "values": PARAMS}


def _renamed(given: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: value for name, value in given.items()}


def study_file(given: dict[str, Any]) -> dict[str, Any]:
    """Convert a study file: version 1 stored a method's params under ``values``."""
    methods = given.get("methods")
    if not isinstance(methods, list):
        return given
    return {**given, "methods": [_renamed(m, "values", "params") if isinstance(m, dict) else m for m in methods]}


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
