"""Small data sets made on the spot, and the real ones where STUDY_DATA_DIR names them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.trainables.data.made_images import write_folder
from trainables.core.config import DataConfig

REAL_DATA = os.environ.get("STUDY_DATA_DIR")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give every test a cache of its own and no data folder."""
    monkeypatch.delenv("STUDY_DATA_DIR", raising=False)
    monkeypatch.setenv("STUDY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shapes(tmp_path: Path) -> Callable[..., DataConfig]:
    """Write the data set `shapes` (grey, three classes of 40, 30 and 35 images); configure it."""
    write_folder(tmp_path / "data" / "shapes", (40, 30, 35), (10, 12, 11), names="square,circle,star")

    def configure(**changes: Any) -> DataConfig:
        given = {"dataset": "shapes", "data_dir": str(tmp_path / "data"), "profile": {"kind": "natural"}}
        return DataConfig.model_validate({**given, **changes})

    return configure


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    data = tmp_path_factory.mktemp("made")
    write_folder(data / "mnist", tuple(range(50, 60)), (20,) * 10, (28, 28))
    write_folder(data / "cifar10", (60,) * 10, (20,) * 10, (32, 32, 3))
    return data, tmp_path_factory.mktemp("cache")


@pytest.fixture(params=["mnist", "cifar10"])
def published(
    request: pytest.FixtureRequest, _shared: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., DataConfig]:
    """Configure MNIST and CIFAR-10: the real ones of STUDY_DATA_DIR, else smaller ones of the same form."""
    made, cache = _shared
    real = REAL_DATA and (Path(REAL_DATA) / request.param / "train.parquet").exists()
    monkeypatch.setenv("STUDY_CACHE_DIR", str(cache))  # decoding CIFAR-10 once is enough

    def configure(**changes: Any) -> DataConfig:
        given = {"dataset": request.param, "data_dir": REAL_DATA if real else str(made)}
        return DataConfig.model_validate({**given, **changes})

    return configure
