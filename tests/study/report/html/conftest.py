"""Fixtures with synthetic studies for the tests of the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.synthetic_study import SyntheticStudy
from study.spec.study_spec import StudySpec
from study.store.study_view import StudyView, open_view

MakeView = Callable[..., StudyView]


@pytest.fixture
def make_view(tmp_path: Path) -> MakeView:
    """Store a synthetic study and open it; keywords replace parts of its file."""

    def make(
        *, ratios: tuple[float, ...] = (10, 100), trials: int = 3, seeds: int | None = None, **changes: Any
    ) -> StudyView:
        confirm = {} if seeds is None else {"confirm": {"seeds": seeds}}
        spec = StudySpec.model_validate(
            {
                "name": "made",
                "question": "Does <b>CCE</b> help?",
                "data": [{"dataset": "digits", "profiles": [{"kind": "long_tail", "ratio": list(ratios)}]}],
                "methods": ["erm", "cce"],
                "model": "mlp",
                "training": {"epochs": 3, "batch_size": 32, "lr": 0.05},
                "search": {"trials": trials, "training": {"lr": {"low": 0.005, "high": 0.5, "scale": "log"}}},
                **confirm,
                **changes,
            }
        )
        return open_view(SyntheticStudy(tmp_path / "runs", spec).write())

    return make
