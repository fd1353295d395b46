"""Failing trials, dying processes, and Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.faults.fault_lab import Lab, Undisturbed, content, timeless, wait_until

pytestmark = pytest.mark.timeout(900)  # starting Ray takes long on a busy machine

EPOCHS, TRIALS = 100, 4
# One of the two learning rates makes every training diverge in its first steps.
STUDY: dict[str, Any] = {
    "name": "failing",
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 10}]}],
    "methods": ["cce"],
    "model": "mlp",
    "training": {"epochs": EPOCHS, "batch_size": 32, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
    "search": {
        "trials": TRIALS,
        "searcher": "random",
        "pruner": "none",
        "training": {"lr": {"choices": [0.05, 1e30]}},
    },
}


def test_a_killed_worker_goes_on_an_interrupt_says_how_and_a_diverging_trial_fails_alone(
    lab: Lab, tmp_path: Path
) -> None:
    undisturbed = Undisturbed(STUDY, tmp_path / "undisturbed")
    running = lab.run(STUDY)
    wait_until(lambda: lab.epochs_written() >= 10, "the first epochs")
    workers = running.workers()
    assert workers
    for worker in workers:
        worker.kill()
    assert all(len(folder.attempts()) <= 1 for folder in lab.trials().values())
    wait_until(lambda: any(len(folder.attempts()) > 1 for folder in lab.trials().values()), "a second attempt")

    said_before = running.output()
    running.interrupt()
    assert running.wait() == 130, running.output()
    said = running.output().removeprefix(said_before)
    assert "nothing is lost: study resume failing" in said
    assert "Traceback" not in said
    wait_until(lambda: not running.family(), "every process to be gone")
    finished = lab.finished_files()

    resumed = lab.resume()
    assert resumed.wait() == 1, resumed.output()
    assert "2 trials failed; `study show failing" in resumed.output()
    now = lab.finished_files()
    assert finished == {key: now[key] for key in finished}
    found = content(lab.view())
    assert found == undisturbed.content
    failed = {key: said for key, said in found.items() if said.state == "FAIL"}
    assert len(failed) == 2
    for trial in failed.values():
        assert trial.params["training.lr"] == 1e30
        assert trial.reason is not None
        assert trial.reason.startswith("NonFiniteLoss: loss ")
        assert "at epoch 1, step " in trial.reason
    for key, folder in lab.trials().items():
        assert [timeless(record) for record in folder.history()] == undisturbed.records[key]


@pytest.mark.slow
def test_a_batch_system_that_ends_the_driver_is_an_interrupt(lab: Lab) -> None:
    running = lab.run(STUDY)
    wait_until(lambda: lab.epochs_written() >= 10, "the first epochs")
    running.process.terminate()
    assert running.wait() == 130, running.output()
    assert "nothing is lost: study resume failing" in running.output()
    wait_until(lambda: not running.family(), "every process to be gone")
    assert lab.resume().wait() == 1
