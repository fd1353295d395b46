"""kill -9 of driver, Ray and all workers at once, at various moments, followed by ``study resume``."""

from __future__ import annotations

import copy
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.fault_lab import Lab, Running, Undisturbed, content, timeless, wait_until

pytestmark = pytest.mark.timeout(900)  # starting Ray takes long on a busy machine

EPOCHS, TRIALS, CELLS = 12, 3, 4
# Params depend only on the trial's number, so the order of two concurrent trials does not matter.
STUDY: dict[str, Any] = {
    "name": "killed",
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": [10, 20]}]}],
    "methods": ["cce", "ldam-drw"],
    "model": "mlp",
    "training": {"epochs": EPOCHS, "batch_size": 32, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
    "search": {
        "trials": TRIALS,
        "searcher": "random",
        "transfer": False,  # a transfer depends on which trials end first
        "pruner": "none",
        "training": {"lr": {"low": 0.01, "high": 0.2, "scale": "log"}},
    },
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The study without any kill, with one more trial per cell than its file asks for."""
    larger = copy.deepcopy(STUDY)
    larger["search"]["trials"] = TRIALS + 1
    return Undisturbed(larger, tmp_path_factory.mktemp("undisturbed") / "study")


def _kill_when(lab: Lab, running: Running, happened: Callable[[], bool], what: str) -> dict[str, Any]:
    """Kill everything once a condition holds; return the files of the trials that had ended."""
    wait_until(lambda: happened() or running.process.poll() is not None, what)
    running.kill_everything()
    assert not running.family()
    return lab.finished_files()


def _check_ledger(lab: Lab, undisturbed: Undisturbed, trials: int = TRIALS) -> None:
    """No trial is missing, all have their full budget, and all equal those of the undisturbed study."""
    found = content(lab.view())
    assert Counter(key.rpartition("/")[0] for key in found) == dict.fromkeys(_cells(undisturbed), trials)
    for key, said in found.items():
        assert said.state == "COMPLETE"
        assert list(said.epochs) == list(range(1, EPOCHS + 1)), key
        assert said == undisturbed.content[key], key


def _cells(undisturbed: Undisturbed) -> set[str]:
    return {key.rpartition("/")[0] for key in undisturbed.content}


def _check_files(lab: Lab, undisturbed: Undisturbed, interruptions: int) -> None:
    """Every trial has all its epochs. Few were repeated, and with the same numbers."""
    repeated = 0
    for key, folder in lab.trials().items():
        expected = undisturbed.records[key]
        for attempt in folder.attempts():
            first = attempt[0]["epoch"] - 1 if attempt else 0
            assert [timeless(record) for record in attempt] == expected[first : first + len(attempt)], key
        assert [timeless(record) for record in folder.history()] == expected, key
        trained = [record["epoch"] for attempt in folder.attempts() for record in attempt if not record.get("shared")]
        repeated += len(trained) - len(set(trained))
    # every epoch has a checkpoint, so each of the two running trials repeats at most one epoch
    assert repeated <= 2 * interruptions


def _check_records(lab: Lab, trials: int = TRIALS) -> None:
    """MLflow has one finished run per trial and cell and at most one of the study, with the ledger's numbers."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{lab.storage}/mlflow.db")
    experiment = client.get_experiment_by_name(STUDY["name"])
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    by_trial = {run.data.tags["study.trial"]: run for run in runs if "study.trial" in run.data.tags}
    kinds = Counter(run.data.tags["study.kind"] for run in runs)
    assert kinds["study"] <= 1  # where there are trials enough for the responses to the ratio
    assert kinds - Counter(study=1) == {"trial": CELLS * trials, "cell": CELLS}
    values = {key: said.value for key, said in content(lab.view()).items()}
    assert by_trial.keys() == values.keys()
    for key, run in by_trial.items():
        assert run.info.status == "FINISHED", key
        assert run.data.metrics["validation/balanced_accuracy"] == values[key]
        steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "validation/balanced_accuracy")]
        assert sorted(steps) == list(range(1, EPOCHS + 1)), key
        files = [file.path for file in client.list_artifacts(run.info.run_id, "validation")]
        assert "validation/confusion.png" in files, key


def _check(lab: Lab, undisturbed: Undisturbed, finished: dict[str, Any], interruptions: int) -> None:
    now = lab.finished_files()
    assert finished == {key: now[key] for key in finished}  # no file of a finished trial was changed
    _check_ledger(lab, undisturbed)
    _check_files(lab, undisturbed, interruptions)
    _check_records(lab)


def test_killed_early_halfway_and_at_its_very_end_a_study_loses_nothing(lab: Lab, undisturbed: Undisturbed) -> None:
    running = lab.run(STUDY)
    first = _kill_when(lab, running, lambda: lab.epochs_written() >= 4, "the first epochs")
    assert 4 <= lab.epochs_written() < CELLS * TRIALS * EPOCHS
    running = lab.resume()
    half = _kill_when(lab, running, lambda: lab.ended() >= CELLS * TRIALS // 2, "half of the trials")
    assert first.items() <= half.items()
    running = lab.resume()
    _kill_when(lab, running, lambda: lab.ended() == CELLS * TRIALS, "the last trial's end")
    # all is trained but not recorded: resuming the finished study records it
    every = lab.finished_files()
    assert half.items() <= every.items()
    said = lab.finish()
    assert "study 'killed' is finished: every cell has its 3 trials" in said
    assert "--set search.trials=N" in said
    _check(lab, undisturbed, every, interruptions=3)

    lab.finish("--set", f"search.trials={TRIALS + 1}")
    now = lab.finished_files()
    assert every == {key: now[key] for key in every}
    _check_ledger(lab, undisturbed, TRIALS + 1)
    _check_records(lab, TRIALS + 1)
    assert not (lab.path / "tune").exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(15))
def test_killed_at_random_moments_a_study_loses_nothing(seed: int, lab: Lab, undisturbed: Undisturbed) -> None:
    moments = random.Random(seed)
    running, kills = lab.run(STUDY), 0
    wait_until(lambda: (lab.path / "study.yaml").exists(), "the study to exist")
    finished: dict[str, Any] = {}
    while running.process.poll() is None and kills < 3:
        end = time.monotonic() + moments.uniform(0, 25)
        before = _kill_when(lab, running, lambda: time.monotonic() >= end, "the moment")  # noqa: B023
        assert finished.items() <= before.items()
        finished, kills = before, kills + 1
        running = lab.resume()
    code = running.wait()
    assert code == 0, running.output()
    _check(lab, undisturbed, finished, interruptions=kills)
