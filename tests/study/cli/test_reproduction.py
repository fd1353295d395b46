"""`study reproduce` from the command line to printed figures, with real trainings under Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.study.cli.test_reproduce_command import SMALL


def _reproduce(storage: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "study.cli.app", "reproduce", "cce/table-2", *SMALL, *words]
    env = {**os.environ, "COLUMNS": "300", "STUDY_STORAGE": str(storage), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, capture_output=True, text=True, timeout=420, env=env)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_shortened_table_is_trained_printed_and_not_trained_again(tmp_path: Path) -> None:
    first = _reproduce(tmp_path, "--json")
    assert first.returncode == 0, first.stderr
    printed = json.loads(first.stdout)  # progress went to the other stream
    assert "trials" in first.stderr
    (name,) = (path.parent.name for path in tmp_path.glob("*/study.yaml"))
    view = open_view(StudyFolder(tmp_path, name))
    assert view.state == "finished"
    # what is printed is what the stored trials found on the test images, in the study's metric
    stored = {}
    for cell in view.cells:
        tests = [found["metrics"][cell.metric] for trial in cell.confirming if (found := trial.test()) is not None]
        assert tests, cell.cell.name
        stored[cell.cell.method] = 100 * sum(tests) / len(tests)
    ours = [figure["ours"]["mean"] for figure in printed["figures"]]
    assert sorted(ours) == pytest.approx(sorted(stored.values()))
    assert all(10 < value <= 100 for value in ours)

    epochs = sum(trial.epochs_trained for cell in view.cells for trial in cell.all_trials)
    again = _reproduce(tmp_path, "--markdown")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("## cce/table-2: ")
    assert all(f"{value:.2f}" in again.stdout for value in ours)
    view = open_view(StudyFolder(tmp_path, name))
    assert sum(trial.epochs_trained for cell in view.cells for trial in cell.all_trials) == epochs
