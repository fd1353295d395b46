"""Pictures of finished networks in MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.tracking import record_study
from study.tracking.trial_pictures import write_pictures
from tests.study.made_study import MadeStudy
from trainables.core.logit_file import KeptLogits, SplitLogits, read_logits, write_logits
from trainables.core.trial_folder import TrialFolder

Dumper = Callable[[], dict[str, dict[str, Any]]]
NAMES = [f"class {k}" for k in range(10)]
PICTURES = ["embedding.npz", "embedding.png", "mistakes.npz", "mistakes.png", "offsets.json", "offsets.png"]


def store(folder: TrialFolder) -> None:
    values = [float(k) for k in range(10)]
    folder.write_record(
        "offsets",
        {
            "epoch": 5,
            "class_names": NAMES,
            "class_counts": [10] * 10,
            "log_prior": values,
            "trained": None,
            "estimated": values,
            "empirical": values,
        },
    )
    labels = np.arange(20) % 10
    folder.write_arrays("embedding", {"tsne": np.eye(20, 2), "labels": labels, "of_test": np.array(False)})
    folder.write_arrays(
        "mistakes",
        {
            "images": np.zeros((2, 1, 8, 8), np.uint8),
            "labels": np.array([1, 2]),
            "predicted": np.array([0, 0]),
            "confidence": np.array([0.9, 0.8]),
            "classes": np.arange(10),
            "wrong": np.ones(10, np.int64),
            "total": np.ones(10, np.int64) * 3,
            "of_test": np.array(False),
        },
    )


def test_recording_later_uploads_pictures_and_data(made: MadeStudy, dump: Dumper, storage: Path) -> None:
    with_files, without = made.complete(), made.complete()
    store(made.files(with_files))
    record_study(made.folder)
    runs = dump()
    assert set(PICTURES) <= set(runs[with_files.key]["artifacts"])
    assert not set(PICTURES) & set(runs[without.key]["artifacts"])
    (uploaded,) = (storage / "mlartifacts").rglob("offsets.json")
    assert uploaded.read_bytes() == (made.files(with_files).path / "offsets.json").read_bytes()


def test_kept_logits_are_uploaded_as_they_are(made: MadeStudy, dump: Dumper, storage: Path) -> None:
    trial = made.complete()
    folder = made.files(trial).path
    split = SplitLogits.of(np.random.default_rng(0).normal(size=(30, 10)), np.arange(30) % 10)
    write_logits(folder, KeptLogits(None, tuple(NAMES), (10,) * 10, {"validation": split}))
    record_study(made.folder)
    assert "logits.parquet" in dump()[trial.key]["artifacts"]
    (uploaded,) = (storage / "mlartifacts").rglob("logits.parquet")
    assert read_logits(uploaded.parent) is not None
    assert uploaded.read_bytes() == (folder / "logits.parquet").read_bytes()


def test_a_damaged_file_costs_its_picture_alone(tmp_path: Path) -> None:
    files, out = TrialFolder(tmp_path / "trial"), tmp_path / "out"
    out.mkdir()
    store(files)
    files.write_record("artifact-errors", {"mistakes": "ValueError: x"})
    (files.path / "mistakes.npz").write_bytes((files.path / "mistakes.npz").read_bytes()[:-30])
    (files.path / "offsets.json").write_text("{")
    write_pictures(files, {"epoch": 5, "class_names": NAMES, "class_counts": [10] * 10}, "a trial", out)
    assert sorted(path.name for path in out.iterdir()) == ["artifact-errors.json", "embedding.npz", "embedding.png"]


def test_stored_arrays_are_read_without_unpickling(tmp_path: Path) -> None:
    files = TrialFolder(tmp_path)
    files.write_arrays("embedding", {"rows": np.arange(3), "of_test": np.array(True)})
    found = files.arrays("embedding")
    assert found is not None and found["rows"].tolist() == [0, 1, 2] and bool(found["of_test"])
    np.savez(tmp_path / "mistakes.npz", rows=np.array([{}], dtype=object))
    assert files.arrays("mistakes") is None and files.arrays("nothing") is None
    with pytest.raises(AssertionError, match="holds objects"):
        files.write_arrays("embedding", {"rows": np.array([{}], dtype=object)})
