"""The script as text; test_job.py and test_wall_times.py run it in a real Slurm."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from study.slurm.batch_script import batch_script
from study.slurm.job_options import JobOptions
from study.store.study_folder import StudyFolder
from trainables.core.errors import BadInput

MakeScript = Callable[..., str]


def _directives(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]


def test_directives_stand_before_the_first_command(make_script: MakeScript, tmp_path: Path) -> None:
    script = make_script(partition="gpu")
    directives = _directives(script)
    assert script.splitlines()[0] == "#!/bin/bash"
    assert script.splitlines()[1 : len(directives) + 1] == [f"#SBATCH {directive}" for directive in directives]
    assert {"--job-name=study-tiny", "--nodes=2", "--requeue", "--open-mode=append"} <= set(directives)
    assert {"--signal=B:USR1@120", "--partition=gpu"} <= set(directives)
    assert f"--output={tmp_path}/runs/tiny/slurm/job-%j.log" in directives


def test_bash_reads_the_script_whole(make_script: MakeScript) -> None:
    done = subprocess.run(["bash", "-n"], input=make_script(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_paths_and_overrides_reach_bash_as_they_are(tmp_path: Path) -> None:
    place = tmp_path / "it's a $HOME; `folder`"
    script = batch_script(StudyFolder(place, "tiny"), JobOptions(nodes=1, time="30"), ("search.trials=4; rm x",))
    values = script.partition("# The log continues")[0]
    shown = subprocess.run(
        ["bash", "-c", f'{values}\nprintf "%s\\n" "$storage" "${{job[@]}}"'], capture_output=True, text=True, check=True
    )
    assert shown.stdout.splitlines() == [
        str(place),
        f"{place}/tiny/slurm/study.yaml",
        "--storage",
        str(place),
        "--set",
        "search.trials=4; rm x",
    ]
    assert f'--output="{place}/tiny/slurm/job-%j.log"' in _directives(script)


def test_a_path_that_an_option_of_sbatch_cannot_hold_is_refused(tmp_path: Path) -> None:
    options = JobOptions(nodes=1, time="30")
    for name in ("a\ntouch pwned", 'a"b', "a\\b", "a\tb"):
        with pytest.raises(BadInput, match="must hold no line break"):
            batch_script(StudyFolder(tmp_path / name, "tiny"), options)
    script = batch_script(StudyFolder(tmp_path / "100%u", "tiny"), options)
    assert f"--output={tmp_path}/100%%u/tiny/slurm/job-%j.log" in _directives(script)


def test_no_secret_of_the_environment_is_in_the_script(make_script: MakeScript) -> None:
    before = dict(os.environ)
    os.environ["STUDY_LEDGER"] = "postgresql+psycopg://me:hunter2@db/study"
    try:
        assert "hunter2" not in make_script()
    finally:
        os.environ.clear()
        os.environ.update(before)
