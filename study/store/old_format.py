"""Reads studies stored in earlier format versions with the names and meanings of the current one.

Version 1, which had no version number, had other names. In versions 1 and 2, ``precision: auto`` was bfloat16 on
processors that multiply it natively. A resumed study keeps its trials, so one study may hold several versions. Every
function here leaves current content unchanged.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from study.search.trial_params import PARAM_SOURCE, PARAMS
from trainables.core.trial_folder import TrialFolder

_TRIAL_WORDS = {"origin": PARAM_SOURCE, "values": PARAMS}


def _renamed(given: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: value for name, value in given.items()}


def study_file(given: dict[str, Any]) -> dict[str, Any]:
    """Convert a study file: version 1 stored a method's params under ``values``."""
    methods = given.get("methods")
    if not isinstance(methods, list):
        return given
    return {**given, "methods": [_renamed(m, "values", "params") if isinstance(m, dict) else m for m in methods]}


def with_automatic_precision(given: dict[str, Any], study_path: Path) -> dict[str, Any]:
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
