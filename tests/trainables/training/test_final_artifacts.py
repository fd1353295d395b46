from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainables.core.config import TrialConfig
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_task import ARTIFACTS
from trainables.data import load
from trainables.training import embedding as embedding_room
from trainables.training import final_artifacts
from trainables.training.final_artifacts import write_final_artifacts
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]


@pytest.fixture(autouse=True)
def without_umap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_room, "has_umap", lambda: False)


@pytest.fixture
def trainer(make_trial: MakeTrial) -> Trainer:
    config = make_trial(epochs=1)
    trainer = Trainer(config, load(config.data))
    trainer.run_epoch()
    return trainer


@pytest.mark.parametrize("kind", ARTIFACTS)
def test_only_what_is_asked_for_is_written(trainer: Trainer, tmp_path: Path, kind: str) -> None:
    write_final_artifacts(trainer, TrialFolder(tmp_path), [kind], of_test=False)
    assert {path.stem for path in tmp_path.iterdir()} == {kind}


def test_nothing_is_computed_twice_and_what_is_missing_is_added(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = TrialFolder(tmp_path)
    write_final_artifacts(trainer, folder, ["offsets", "embedding"], of_test=True)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("class_offsets", "embedding"):
        monkeypatch.setattr(final_artifacts, name, lambda *_: pytest.fail("computed again"))
    write_final_artifacts(trainer, folder, ARTIFACTS, of_test=True)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() - before.keys() == {"mistakes.npz", "logits.parquet", "model.npz", "model.pt2"}
    assert before.items() <= after.items()
    found = folder.arrays("mistakes")
    assert found is not None and found["of_test"]
    assert np.array_equal(found["images"], trainer.data.test().images.numpy()[found["rows"]])


def test_an_error_costs_the_artifact_and_not_the_trial(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no neighbours")

    monkeypatch.setattr(final_artifacts, "embedding", broken)
    folder = TrialFolder(tmp_path)
    write_final_artifacts(trainer, folder, ARTIFACTS, of_test=False)
    assert folder.record("artifact-errors") == {"embedding": "ValueError: no neighbours"}
    assert folder.record("offsets") is not None and folder.arrays("mistakes") is not None


def test_no_test_image_is_read_for_a_search_trial(trainer: Trainer, tmp_path: Path) -> None:
    object.__setattr__(trainer.data, "read_test", lambda: pytest.fail("a test image was read"))
    write_final_artifacts(trainer, TrialFolder(tmp_path), ARTIFACTS, of_test=False)
    assert len(list(tmp_path.iterdir())) == len(ARTIFACTS) + 1  # a model is two files
