"""Private parts of Ray Tune that the driver relies on, and the versions they were checked with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from study.driver.tune_internals import CHECKED, forget_ended


def test_the_version_was_checked() -> None:
    version = tuple(int(part) for part in ray.__version__.split(".")[:2])
    assert CHECKED[0] <= version <= CHECKED[1], (
        f"ray {ray.__version__} was not checked: compare where TuneController keeps its trials with what "
        "study/driver/tune_internals.py removes them from, run the tests of study/driver, then widen CHECKED"
    )


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TuneController:
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "1")  # else it asks a cluster
    storage: Any = SimpleNamespace(experiment_driver_staging_path=str(tmp_path), storage_path=str(tmp_path))
    resources: Any = SimpleNamespace
    return TuneController(storage=storage, resource_manager_factory=resources)


def test_tune_forgets_the_trials_that_have_ended(controller: TuneController) -> None:
    waiting, failed, *done = [Trial("trial", trial_id=str(number), stub=True) for number in range(5)]
    for trial in (waiting, failed, *done):
        controller.add_trial(trial)
    listed = controller.get_trials()
    assert forget_ended(controller._wrapped()) == []
    for trial in (failed, *done):
        controller._set_trial_status(trial, Trial.ERROR if trial is failed else Trial.TERMINATED)
    assert set(forget_ended(controller._wrapped())) == {failed, *done}
    assert controller.get_trials() is listed
    assert listed == [waiting]
    assert controller.get_live_trials() == {waiting}
    kept = [value for value in vars(controller).values() if isinstance(value, set | list | dict)]
    assert not any(trial in part for part in kept for trial in (failed, *done))
    assert forget_ended(controller) == []
    # what follows works on what is left
    controller._set_trial_status(waiting, Trial.RUNNING)
    controller._set_trial_status(waiting, Trial.TERMINATED)
    assert forget_ended(controller) == [waiting]
    assert not controller.get_trials()
