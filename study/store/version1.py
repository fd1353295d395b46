"""Read studies stored before their format had a number: version 1 of every file, in the words of version 2.

A version 1 study keeps its trials when it is resumed, so one study may hold both. Every function here leaves what
is of version 2 already as it is.
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
    """Return a study file; a method's own params stood under ``values``."""
    methods = given.get("methods")
    if not isinstance(methods, list):
        return given
    return {**given, "methods": [_renamed(m, "values", "params") if isinstance(m, dict) else m for m in methods]}


def trial(stored: FrozenTrial) -> FrozenTrial:
    """Return a trial; its user attributes were ``origin``, and of one that confirms ``values``."""
    if not stored.user_attrs.keys() & _TRIAL_WORDS.keys():
        return stored
    read = copy.copy(stored)
    read.user_attrs = {_TRIAL_WORDS.get(name, name): value for name, value in stored.user_attrs.items()}
    return read


def warm_starts(stored: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return ``warm-starts.json``; params stood under ``values``."""
    return {cell: [_renamed(one, "values", "params") for one in given] for cell, given in stored.items()}


def trial_file(stored: dict[str, Any]) -> dict[str, Any]:
    """Return ``trial.json``; a method's params stood under ``hyperparameters``."""
    config = stored["trial"]
    return {**stored, "trial": {**config, "method": _renamed(config["method"], "hyperparameters", "params")}}
