"""A confirmed trial keeps the logits of the weights that it is judged by, also after a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.core.config import TrialConfig
from trainables.core.logit_file import LOGIT_FILE, read_logits
from trainables.core.metrics import confusion_matrix
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_task import TrialTask
from trainables.entry_points.ray_trainable import ImbalanceTrial

MakeTrial = Callable[..., TrialConfig]
EPOCHS = 4


def _task(trial: TrialConfig, folder: Path, **changes: Any) -> dict[str, Any]:
    given = TrialTask(trial, folder, folder.parent / "shared", False, evaluate_test=True, artifacts=("logits",))
    return {**given.to_json(), **changes}


def _finish(task: dict[str, Any]) -> TrialFolder:
    trainable = ImbalanceTrial(task)
    while not trainable.step()["done"]:
        pass
    return TrialFolder(Path(task["folder"]))


def _recorded_and_kept(folder: TrialFolder) -> tuple[list[list[int]], list[list[int]]]:
    import torch

    kept, test = read_logits(folder.path), folder.test()
    assert kept is not None and test is not None
    split = kept.splits["test"]
    found = confusion_matrix(torch.from_numpy(split.predictions), torch.from_numpy(split.labels), 10)
    return test["confusion"], found.tolist()


@pytest.mark.parametrize("select_by", [None, "worst_recall"])
def test_they_agree_with_the_recorded_test_results(
    make_trial: MakeTrial, tmp_path: Path, select_by: str | None
) -> None:
    trial = make_trial(epochs=EPOCHS, lr=0.2, schedule={"kind": "constant", "warmup": 0})
    recorded, kept = _recorded_and_kept(_finish(_task(trial, tmp_path / "a", select_by=select_by)))
    assert recorded == kept


def test_a_resumed_trial_has_the_logits_of_one_that_was_not_killed(
    make_trial: MakeTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = make_trial(epochs=EPOCHS, checkpoint_seconds=0)
    whole = _finish(_task(trial, tmp_path / "whole"))
    kinds: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
        "before": lambda patch: patch.setattr("trainables.core.logit_file.write_atomically", _killed),
        "after": lambda patch: patch.setattr(TrialFolder, "append_epoch", _killed_at_the_end),
    }
    for moment, patched in kinds.items():
        task = _task(trial, tmp_path / moment)
        with monkeypatch.context() as patch:
            patched(patch)
            with pytest.raises(KeyboardInterrupt):
                _finish(task)
        assert (tmp_path / moment / LOGIT_FILE).exists() == (moment == "after")
        folder = _finish(task)
        recorded, kept = _recorded_and_kept(folder)
        assert recorded == kept
        assert (folder.path / LOGIT_FILE).read_bytes() == (whole.path / LOGIT_FILE).read_bytes()


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


_append = TrialFolder.append_epoch


def _killed_at_the_end(self: TrialFolder, result: dict[str, Any]) -> None:
    if result["epoch"] == EPOCHS:
        raise KeyboardInterrupt
    _append(self, result)


def test_without_the_artifact_nothing_is_kept(make_trial: MakeTrial, tmp_path: Path) -> None:
    folder = _finish(_task(make_trial(epochs=1), tmp_path / "a", artifacts=[]))
    assert read_logits(folder.path) is None
    assert np.isfinite(folder.test()["metrics"]["balanced_accuracy"])
