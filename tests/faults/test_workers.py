"""Workers that run out of memory, leak it, or die while several train one trial."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fault_lab import Lab, Running, Undisturbed, content, timeless, wait_until
from tests.faults.misbehaving import write_hook
from tests.trainables.training.split_trainings import train_split
from trainables.core.config import TrialConfig

pytestmark = [pytest.mark.timeout(900), pytest.mark.slow]

STUDY: dict[str, Any] = {
    "name": "workers",
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 10}]}],
    "methods": ["cce"],
    "model": "mlp",
    "training": {"epochs": 4, "batch_size": 64, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
    "search": {
        "trials": 4,
        "searcher": "random",
        "transfer": False,
        "pruner": "none",
        "training": {"lr": {"choices": [0.05, 0.0625]}},
    },
}

_OUT_OF_MEMORY = """
def misbehave(trainer):
    if trainer.config.training.lr == 0.0625 and trainer.epoch == 1:
        import torch
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
"""
_LEAK = """
kept = []

def misbehave(trainer):
    if trainer.epoch == 0:
        kept.append(bytearray(b"x") * 2**27)
"""


def _with(monkeypatch: pytest.MonkeyPatch, hook: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(hook), os.environ.get("PYTHONPATH", "")]))


def _processes(lab: Lab, running: Running) -> set[int]:
    """Follow a study to its end; return the ids of the processes that trained."""
    seen: set[int] = set()

    def look() -> bool:
        seen.update(worker.pid for worker in running.workers())
        return running.process.poll() is not None

    wait_until(look, "the end of the study", 600)
    return seen


def test_a_trial_that_runs_out_of_memory_fails_alone(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Undisturbed(STUDY, tmp_path / "undisturbed").content
    _with(monkeypatch, write_hook(tmp_path / "hook", _OUT_OF_MEMORY))
    running = lab.run(STUDY)
    assert running.wait() == 1, running.output()
    found = content(lab.view())
    assert found.keys() == expected.keys()
    failed = {key for key, said in found.items() if said.state == "FAIL"}
    assert failed == {key for key, said in expected.items() if said.params["training.lr"] == 0.0625} != set()
    for key, said in found.items():
        if key in failed:
            assert said.reason == "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB"
            assert len(lab.trials()[key].attempts()) == 1, "a trial that will not fit is not tried again"
        else:
            assert said == expected[key]


def test_a_worker_that_leaks_is_replaced_between_trials_and_nothing_is_lost(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapping = copy.deepcopy(STUDY)
    mapping["search"] |= {"trials": 6, "concurrency": 1}
    # the first trial of a process is its base; the second adds 128 MiB
    mapping["resources"] = {"worker_growth_gb": 0.1, "retries": 0}
    expected = Undisturbed(mapping, tmp_path / "undisturbed").content
    _with(monkeypatch, write_hook(tmp_path / "hook", _LEAK))
    running = lab.run(mapping)
    processes = _processes(lab, running)
    assert running.wait() == 0, running.output()
    assert content(lab.view()) == expected
    assert all(len(folder.attempts()) == 1 for folder in lab.trials().values()), "no epoch was trained twice"
    assert len(processes) >= 3, "two trials a process"


def test_a_trial_of_two_workers_survives_the_loss_of_one_and_of_all(lab: Lab, tmp_path: Path) -> None:
    mapping = copy.deepcopy(STUDY)
    mapping["methods"] = ["ldam-drw"]
    mapping["training"]["epochs"] = 60
    mapping["search"] |= {"trials": 2, "concurrency": 1}
    mapping["resources"] = {"workers": 2}
    running = lab.run(mapping)
    wait_until(lambda: lab.epochs_written() >= 5, "the first epochs")
    (second,) = [process for process in running.family() if "TrialWorker" in " ".join(process.cmdline())]
    second.kill()
    wait_until(lambda: any(len(folder.attempts()) > 1 for folder in lab.trials().values()), "a second attempt")
    seen = lab.epochs_written()
    wait_until(lambda: lab.epochs_written() >= seen + 3, "three more epochs")
    running.kill_everything()
    lab.finish()
    found = content(lab.view())
    assert [said.state for said in found.values()] == ["COMPLETE"] * 2
    folders = lab.trials().values()
    stored = [folder.config() or {} for folder in folders]
    assert [config["environment"]["workers"] for config in stored] == [2, 2]
    # two processes that nothing disturbs, without Ray
    configs = [TrialConfig.model_validate(config["trial"]) for config in stored]
    for folder, workers in zip(folders, train_split(configs, 2, tmp_path), strict=True):
        expected = list(map(timeless, workers[0]["records"]))
        assert list(map(timeless, folder.history())) == expected
        for attempt in folder.attempts():
            assert all(timeless(result) == expected[result["epoch"] - 1] for result in attempt)
