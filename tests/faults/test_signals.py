"""Signals to the driver and its group, and the death of Ray's services and of the driver itself."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.fault_lab import Lab, Running, wait_until
from tests.faults.ray_nodes import RayNodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # starting Ray takes long on a busy machine

STUDY: dict[str, Any] = {
    "name": "signalled",
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 10}]}],
    "methods": ["cce"],
    "model": "mlp",
    "training": {"epochs": 150, "batch_size": 32, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
    "search": {"trials": 3, "searcher": "random", "pruner": "none"},
}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for those of Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _training(lab: Lab) -> Running:
    running = lab.run(STUDY)
    wait_until(lambda: lab.epochs_written() >= 10, "the first epochs")
    return running


def _service(running: Running, name: str) -> psutil.Process:
    return next(process for process in running.family() if process.name() == name)


def _finished(lab: Lab) -> None:
    """All trials are complete, and no epoch was trained twice but those since a checkpoint."""
    assert [trial.state for cell in lab.view().cells for trial in cell.trials] == ["COMPLETE"] * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_to_the_whole_group_ends_the_study_cleanly(lab: Lab, number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN and number == signal.SIGHUP:
        pytest.skip("these tests were started by nohup, so that the study ignores SIGHUP, too")
    running = _training(lab)
    os.killpg(running.process.pid, number)
    wait_until(lambda: "stopping the running trials" in running.output(), "an answer", 5)
    assert running.wait() == 130, running.output()
    said = running.output()
    assert "nothing is lost: study resume signalled" in said and "Traceback" not in said
    wait_until(lambda: not running.family(), "every process to be gone", 10)
    lab.finish()
    _finished(lab)


@pytest.mark.parametrize("service", ["raylet", "gcs_server"])
def test_a_dead_service_of_ray_is_noticed_and_the_study_starts_again_by_itself(lab: Lab, service: str) -> None:
    running = _training(lab)
    _service(running, service).kill()
    wait_until(lambda: f"Ray has died on this machine: {service} was killed or crashed" in running.output(), "it", 15)
    assert running.wait() == 0, running.output()
    said = running.output()
    assert "starting again: study resume signalled" in said and "Traceback" not in said
    wait_until(lambda: not running.family(), "every process to be gone", 10)
    _finished(lab)


def test_a_signal_beside_the_death_of_ray_ends_the_study(lab: Lab) -> None:
    running = _training(lab)
    _service(running, "gcs_server").kill()
    os.killpg(running.process.pid, signal.SIGTERM)
    assert running.wait() == 130, running.output()
    said = running.output()
    assert "nothing is lost: study resume signalled" in said and "starting again" not in said
    wait_until(lambda: not running.family(), "every process to be gone", 10)


def test_the_death_of_a_joined_head_is_said(lab: Lab, short_folder: Path) -> None:
    nodes = RayNodes(short_folder, {})
    try:
        nodes.add()
        running = lab.run(STUDY, "--address", nodes.address, environment=nodes.environment)
        wait_until(lambda: lab.epochs_written() >= 10, "the first epochs")
        nodes.kill_head()
        wait_until(lambda: "the head of the Ray cluster at" in running.output(), "a word of it", 30)
        assert running.wait() == 130, running.output()
    finally:
        nodes.stop()
    said = running.output()
    assert f"study resume signalled --address {nodes.address}" in said and "Traceback" not in said
    lab.finish()
    _finished(lab)


def test_rays_processes_end_with_a_driver_that_was_killed(lab: Lab) -> None:
    running = _training(lab)
    assert _service(running, "raylet").is_running()
    running.process.kill()
    wait_until(lambda: not running.family(), "every process to be gone", 10)
    lab.finish()
    _finished(lab)
