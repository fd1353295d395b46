"""Fixtures that several rooms share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.core.config import TrialConfig

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes outside its folder, apart from the cache of decoded images."""
    monkeypatch.setenv("STUDY_STORAGE", str(tmp_path / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


MakeTrial = Callable[..., TrialConfig]


@pytest.fixture
def make_trial() -> MakeTrial:
    """Build the configuration of a training on digits that takes a fraction of a second."""

    def make(method: str = "erm", *, seed: int = 0, data: dict[str, Any] | None = None, **training: Any) -> TrialConfig:
        return TrialConfig.model_validate(
            {
                "data": {
                    "dataset": "digits",
                    "profile": {"kind": "long_tail", "ratio": 10},
                    "validation_fraction": 0.2,
                    **(data or {}),
                },
                "model": {"name": "mlp"},
                "method": {"name": method},
                "training": {"epochs": 2, "batch_size": 64, "lr": 0.05, "precision": "float32", **training},
                "seed": seed,
            }
        )

    return make
