"""A small study, as a file would hold it, for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from study.checks import checked_spec
from study.spec import StudySpec

Mapping = dict[str, Any]


@pytest.fixture
def study_mapping() -> Callable[..., Mapping]:
    """Build what a study file holds; keywords replace its parts."""

    def make(**changes: Any) -> Mapping:
        return {
            "name": "tiny",
            "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 10}]}],
            "methods": ["cce"],
            "model": "mlp",
            "training": {"epochs": 10, "batch_size": 64, "lr": 0.05, "precision": "float32"},
            "search": {"trials": 4, "pruner": "none"},
            **changes,
        }

    return make


@pytest.fixture
def make_spec(study_mapping: Callable[..., Mapping]) -> Callable[..., StudySpec]:
    """Build a checked study; keywords replace parts of its file."""

    def make(*overrides: str, **changes: Any) -> StudySpec:
        return checked_spec(study_mapping(**changes), overrides, source="tiny.yaml")

    return make
