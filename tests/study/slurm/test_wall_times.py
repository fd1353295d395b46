"""A real study through several wall times of one minute in a real Slurm: one finished study, no trial lost or doubled.

Of a minute, the study stops 20 s before the end, and Ray and the driver take 7 to 17 s to start. A machine that is too
busy trains nothing in what is left.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from study.spec.yaml_io import write_yaml
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.study.slurm.slurm_lab import SlurmLab
from trainables.core.trial_folder import TrialFolder

EPOCHS = 100
TRIALS = int(os.environ.get("STUDY_SLURM_TRIALS", "20"))
MINUTES = os.environ.get("STUDY_SLURM_MINUTES", "1")
NODES = os.environ.get("STUDY_SLURM_NODES", "1")
"""Trials per method, wall time of a job, and its nodes. Two nodes on one busy machine need two minutes."""
JOBS = 3
DEADLINE = 2400.0

STUDY: dict[str, Any] = {
    "name": "digits-slurm",
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 10}]}],
    "methods": ["erm", "cce"],
    "model": "mlp",
    "training": {"epochs": EPOCHS, "batch_size": 64, "lr": 0.05, "precision": "float32"},
    "search": {"trials": TRIALS, "pruner": "none"},
}

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(DEADLINE + 120)]


def _sent(slurm: SlurmLab, folder: Path, *words: str) -> str:
    path = folder / "digits-slurm.yaml"
    path.write_text(write_yaml(STUDY))
    command = [sys.executable, "-m", "study.cli.app", "slurm", str(path), "--storage", str(folder / "runs")]
    done = subprocess.run(
        [*command, *words], cwd=Path(__file__).parents[3], env=slurm.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "below /tmp" in done.stderr or not str(folder).startswith("/tmp")
    [job] = re.findall(r"submitted as job (\d+)", done.stdout)
    return str(job)


def test_three_wall_times_make_one_finished_study(slurm: SlurmLab, tmp_path: Path) -> None:
    job = _sent(slurm, tmp_path, "--nodes", NODES, "--time", MINUTES, "--cpus-per-task", "1")
    log = tmp_path / "runs" / "digits-slurm" / "slurm" / f"job-{job}.log"
    end = time.monotonic() + DEADLINE
    while slurm.said("squeue", "-h", "-j", job).strip():
        assert time.monotonic() < end, log.read_text()
        time.sleep(2.0)
    print(log.read_text())

    shown = slurm.said("scontrol", "show", "job", job)
    assert "JobState=COMPLETED" in shown and "ExitCode=0:0" in shown
    restarts = int(re.findall(r"Restarts=(\d+)", shown)[0])
    starts = re.findall(r"slurm: job \d+, start (\d+) of it", log.read_text())
    assert starts == [str(number) for number in range(1, restarts + 2)]
    assert restarts + 1 >= JOBS
    assert "study 'digits-slurm' is finished" in log.read_text()

    view = open_view(StudyFolder(tmp_path / "runs", "digits-slurm"))
    assert view.state == "finished"
    for cell in view.cells:
        assert [trial.number for trial in cell.trials] == list(range(TRIALS))
        assert {trial.state for trial in cell.trials} == {"COMPLETE"}
        for trial in cell.trials:
            assert [result["epoch"] for result in TrialFolder(trial.folder).history()] == list(range(1, EPOCHS + 1))
    folders = list((tmp_path / "runs" / "digits-slurm" / "cells").glob("*/*/*/*"))
    assert len(folders) == TRIALS * len(STUDY["methods"])
    assert not [name for name in os.listdir(log.parent) if name.startswith("token-")]
