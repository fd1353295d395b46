"""The best epoch of a trial: its weights are evaluated on the test images, also after a kill at any epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.core.config import TrialConfig
from trainables.core.epoch_selection import best_epoch
from trainables.core.metrics import recall_per_class
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_task import TrialTask
from trainables.data import load
from trainables.entry_points.ray_trainable import ImbalanceTrial
from trainables.training.checkpoints import newest_checkpoint
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]
EPOCHS = 8
CHOICES = ("worst_recall", "accuracy", "balanced_accuracy", "geometric_mean", "loss")


@pytest.fixture
def trial(make_trial: MakeTrial) -> TrialConfig:
    return make_trial(epochs=EPOCHS, lr=0.2, checkpoint_seconds=0, schedule={"kind": "constant", "warmup": 0})


def _given(trial: TrialConfig, folder: Path, metric: str, *, share: bool = False) -> dict[str, Any]:
    task = TrialTask(trial, folder, folder.parent / "shared", share, evaluate_test=True, select_by=metric)
    return task.to_json()


def _finish(trainable: ImbalanceTrial) -> None:
    while not trainable.step()["done"]:
        pass


def _by_hand(trial: TrialConfig) -> tuple[list[dict[str, Any]], list[dict[str, float]]]:
    """Return every epoch's result, and what the test images say after every epoch."""
    trainer = Trainer(trial, load(trial.data))
    results, tests = [], []
    while not trainer.finished:
        results.append(trainer.run_epoch())
        tests.append(trainer.metrics(trainer.evaluate(trainer.data.test())))
    return results, tests


def _early(results: list[dict[str, Any]], after: int = 0) -> tuple[str, int]:
    """Return a metric whose best epoch is not the last, and that epoch."""
    for metric in CHOICES:
        best = best_epoch(metric, {r["epoch"]: r[metric] for r in results}, after)
        if best is not None and best < EPOCHS:
            return metric, best
    raise AssertionError("every metric is best at the last epoch: the test would show nothing")


def test_the_best_epochs_weights_are_evaluated_also_after_a_kill(trial: TrialConfig, tmp_path: Path) -> None:
    results, tests = _by_hand(trial)
    metric, best = _early(results)
    for killed_after in (None, best - 1, best, EPOCHS - 1, EPOCHS):
        folder = tmp_path / str(killed_after)
        first = ImbalanceTrial(_given(trial, folder, metric))
        if killed_after is None:
            _finish(first)
        else:
            for _ in range(killed_after):
                first.step()
            (folder / "test.json").unlink(missing_ok=True)  # killed before that
            _finish(ImbalanceTrial(_given(trial, folder, metric)))
        files = TrialFolder(folder)
        tested, validated, state = files.test(), files.evaluation(), newest_checkpoint(folder)
        assert tested is not None and validated is not None and state is not None
        assert (tested["epoch"], validated["epoch"], state["epoch"]) == (best, best, EPOCHS)
        assert tested["metrics"] == tests[best - 1]
        assert tested["metrics"] != tests[-1]
        assert state["selected"]["epoch"] == best
        confusion = torch.tensor(validated["confusion"]).numpy()
        assert validated["recall"] == recall_per_class(confusion).tolist()
        assert sum(validated["recall"]) / 10 == pytest.approx(results[best - 1]["balanced_accuracy"])


def test_only_epochs_of_the_last_stage_are_selected(make_trial: MakeTrial, tmp_path: Path) -> None:
    trial = make_trial("ldam-drw", epochs=5, checkpoint_seconds=0)
    _finish(ImbalanceTrial(_given(trial, tmp_path / "a" / "00000", "loss", share=True)))
    tested = TrialFolder(tmp_path / "a" / "00000").test()
    assert tested is not None
    assert tested["epoch"] == 5  # the last stage is the last epoch; the first four come from a shared training


def test_without_a_selection_nothing_changes(trial: TrialConfig, tmp_path: Path) -> None:
    given = {**_given(trial, tmp_path, "accuracy"), "select_by": None}
    _finish(ImbalanceTrial(given))
    tested, state = TrialFolder(tmp_path).test(), newest_checkpoint(tmp_path)
    assert tested is not None and state is not None
    assert tested["epoch"] == EPOCHS
    assert "selected" not in state
