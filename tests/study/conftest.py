"""Fixtures for a small study."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.spec.validation import checked_spec

Mapping = dict[str, Any]


@pytest.fixture
def study_mapping() -> Callable[..., Mapping]:
    """Build the mapping of a study file; keywords replace its parts."""

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


@pytest.fixture
def open_ledger(tmp_path: Path, make_spec: Callable[..., StudySpec]) -> Callable[..., Ledger]:
    """Open the ledger of a study; calls with the same folder open the same ledger."""

    def make(spec: StudySpec | None = None, folder: Path = tmp_path) -> Ledger:
        spec = spec or make_spec()
        return Ledger(spec, expand(spec), open_storage(folder, None))

    return make


def _png(rng: np.random.Generator, size: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size, size), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def write_data_set() -> Callable[..., Path]:
    """Write a small Parquet data set into a folder."""

    def write(folder: Path, *, classes: int = 3, images: int = 8, size: int = 8) -> Path:
        folder.mkdir(parents=True)
        rng = np.random.default_rng(0)
        for split in ("train", "test"):
            labels = [k for k in range(classes) for _ in range(images)]
            table = pa.table({"image": [_png(rng, size) for _ in labels], "label": labels})
            pq.write_table(table, folder / f"{split}.parquet", compression="none", use_dictionary=False)
        return folder

    return write
