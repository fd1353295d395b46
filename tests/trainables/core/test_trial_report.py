"""Reports and tasks come back as they were sent, also through Ray Tune's flattening."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from ray._private.dict import flatten_dict

from trainables.core.config import TrialConfig
from trainables.core.trial_report import (
    EpochDone,
    Failed,
    MachineFault,
    SharedEpochDone,
    SharedEpochs,
    TrialReport,
    from_result,
    to_result,
)
from trainables.core.trial_task import TrialTask

EPOCH = {"epoch": 3, "stage": "plain", "balanced_accuracy": 0.1 + 0.2, "loss": 1e-300}


@pytest.mark.parametrize(
    ("report", "done"),
    [
        (EpochDone(EPOCH), False),
        (EpochDone(EPOCH, SharedEpochs(2, 3, 1), finished=True), True),
        (EpochDone(EPOCH, method_metrics={"sites": 0.75, "accepted": 0.0}), False),
        (SharedEpochDone(0), False),
        (Failed("NonFiniteLoss: at epoch 1"), True),
        (MachineFault("No space left on device"), True),
    ],
)
def test_a_report_comes_back_as_it_was(report: TrialReport, done: bool) -> None:
    sent = to_result(report)
    assert sent["done"] is done
    assert from_result(sent) == report
    assert from_result(flatten_dict({**sent, "training_iteration": 1, "config": {"trial": {}}})) == report


def test_metrics_that_are_no_numbers_come_back() -> None:
    sent = from_result(to_result(EpochDone({"epoch": 1, "few": math.nan, "loss": math.inf})))
    assert isinstance(sent, EpochDone)
    assert math.isnan(sent.result["few"]) and sent.result["loss"] == math.inf


def test_a_result_of_tune_alone_is_no_report() -> None:
    assert from_result({"done": True, "trial_id": "1"}) is None


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("", "Expecting value"),
        ("[]", "list"),
        ('{"epoch": {}}', "'result'"),
        ('{"epoch": {"result": {}, "shared": {}, "finished": false}}', "`epoch`"),
        ('{"epoch": {"result": {"epoch": 1}, "shared": {}}}', "'finished'"),
        ('{"failed": {}}', "'reason'"),
        ('{"other": {}}', "unknown kind 'other'"),
    ],
)
def test_a_malformed_report_says_what_it_lacks(text: str, lacks: str) -> None:
    with pytest.raises(ValueError, match="malformed trial report") as caught:
        from_result({"report": text})
    assert lacks in str(caught.value)


@pytest.mark.parametrize("stored", [None, {}, {"adopted": 1}, {"adopted": 1, "needed": 2, "trained": 3}])
def test_shared_epochs_are_read_from_their_stored_form(stored: dict[str, int] | None) -> None:
    read = SharedEpochs.from_json(stored)
    assert read == SharedEpochs(**(stored or {}))
    assert read.to_json() == (stored if read.needed else {})


def test_a_task_comes_back_as_it_was(make_trial: Callable[..., TrialConfig]) -> None:
    task = TrialTask(
        make_trial("cce"),
        Path("/runs/a"),
        Path("/runs/shared"),
        True,
        evaluate_test=True,
        threads=2,
        artifacts=("offsets",),
    )
    assert TrialTask.from_json(json.loads(json.dumps(task.to_json()))) == task


def test_metrics_of_the_method_stand_apart_and_must_be_finite() -> None:
    stored = {"epoch": 1, "loss": 0.5, "method_metrics": {"sites": 1}}
    done = EpochDone.of_stored(stored)
    assert (done.result, done.method_metrics) == ({"epoch": 1, "loss": 0.5}, {"sites": 1.0})
    for wrong in ({"sites": math.nan}, {"sites": "many"}, {"sites": True}, [0.5]):
        with pytest.raises(ValueError, match="method_metrics"):
            EpochDone.of_stored({"epoch": 1, "method_metrics": wrong})
        with pytest.raises(ValueError, match=r"malformed trial report: .*method_metrics"):
            sent = {"epoch": {"result": {"epoch": 1, "method_metrics": wrong}, "shared": {}, "finished": False}}
            from_result({"report": json.dumps(sent)})
