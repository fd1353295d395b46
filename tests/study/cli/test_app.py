from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from study.cli import app
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from tests.study.made_study import MadeStudy, spec_of
from trainables.methods.registry import METHODS

COMMANDS = (
    *("run", "check", "resume", "status", "show", "report", "compare", "methods", "models", "datasets"),
    *("spaces", "train", "ui", "record", "export", "submit", "doctor", "calibration", "ensemble", "adjust"),
    *("reproduce", "rm", "slurm"),
)
ROOT = Path(__file__).parents[3]
HEAVY = {"torch", "torchvision", "timm", "ray", "mlflow", "optuna", "sklearn", "scipy", "pandas", "pyarrow"}


def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "study.cli.app", *words],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def _seconds_of_children() -> float:
    """Return the CPU seconds of child processes; unlike wall time, they do not depend on the machine's load."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _imported(*words: str) -> set[str]:
    """Return the packages that a command imports."""
    done = _run(*words, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0, done.stderr
    names = (line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line)
    return {name.partition(".")[0] for name in names}


def _main(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["study", *words])
    with pytest.raises(SystemExit) as caught:
        app.main()
    return int(caught.value.code or 0)


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    began = _seconds_of_children()
    done = _run("--help")
    assert done.returncode == 0
    assert _seconds_of_children() - began < 1
    for command in COMMANDS:
        assert f" {command} " in done.stdout
    assert not _imported("--help") & (HEAVY | {"numpy", "pydantic"})


def test_no_command_is_described_in_half_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert _main("--help", monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert len(lines) >= len(COMMANDS)
    assert [line for line in lines if not line.endswith(".") or line.endswith("..")] == []


def test_a_resume_says_that_it_takes_the_stored_folders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, named in (("run", True), ("train", True), ("resume", False)):
        assert _main(command, "--help", monkeypatch=monkeypatch) == 0
        said = capsys.readouterr().out
        assert ("[default: $STUDY_DATA_DIR]" in " ".join(said.split())) is named
        assert ("as when the study began" in " ".join(said.split())) is not named


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(command, "--help", monkeypatch=monkeypatch) == 0
    assert f"study {command}" in capsys.readouterr().out


def test_lists_need_neither_ray_nor_mlflow() -> None:
    assert not _imported("methods", "--json") & {"ray", "mlflow", "optuna"}


def test_a_resume_of_a_finished_study_needs_nothing_that_trains(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(methods=["cce"], search={"trials": 1, "pruner": "none"}))
    made.complete()
    imported = _imported("resume", "made", "--storage", str(tmp_path))
    assert not imported & {"torch", "torchvision", "ray"}
    said = _run("resume", "made", "--storage", str(tmp_path)).stdout
    assert said.startswith("study 'made' is finished: ")
    assert "1 already up to date" in _run("record", "made", "--storage", str(tmp_path)).stdout


def test_methods_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("methods", "--json", monkeypatch=monkeypatch) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in entries] == list(METHODS)
    assert all({"name", "paper", "stages", "params", "searched"} <= entry.keys() for entry in entries)
    assert {entry["file"] for entry in entries} == {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "trainables" / "methods").glob("*.py")
        if path.stem not in {"__init__", "axes", "boundary_shift", "deferral", "method", "plan", "registry"}
    }


def test_a_method_given_in_part_is_marked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _main("methods", monkeypatch=monkeypatch) == 0
    heads = {line.partition(":")[0]: line for line in capsys.readouterr().out.splitlines() if line[:1] != " "}
    assert {name for name, line in heads.items() if " (in part) (" in line} == {
        name for name, method in METHODS.items() if method.given_in_part
    }


@pytest.mark.parametrize("command", ["methods", "datasets", "spaces"])
def test_lists_are_tables_too(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(command, monkeypatch=monkeypatch) == 0
    table = capsys.readouterr().out
    assert ("digits" if command == "datasets" else "cce") in table


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["run"],
        ["run", "a.yaml", "b.yaml"],
        ["resume", "x", "--nonsense"],
        ["train", "erm", "--epochs", "x"],
    ],
)
def test_wrong_use_is_exit_code_2(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _main(*words, monkeypatch=monkeypatch) == 2


def test_bad_input_is_one_message_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert _main("run", str(tmp_path / "[red]none.yaml"), monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/[red]none.yaml: no such file\n"


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("study.spec.validation.load_spec", interrupted)
    assert _main("run", "x.yaml", monkeypatch=monkeypatch) == 130


def test_status_of_a_study_that_never_ran(
    make_spec: Callable[..., StudySpec],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    folder = StudyFolder(tmp_path, "tiny")
    with folder.driver_lock():
        folder.create(make_spec(), {})
    assert _main("status", "tiny", "--json", "--storage", str(tmp_path), monkeypatch=monkeypatch) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["study"] == "tiny"
    assert status["state"] == "interrupted"
    (cell,) = status["cells"]
    assert {"cell", "dataset", "profile", "ratio", "method", "states", "best"} <= cell.keys()
    assert cell["states"] == {"COMPLETE": 0, "PRUNED": 0, "FAIL": 0, "RUNNING": 0}


def test_one_training_trains_tests_and_continues(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["train", "ldam-drw", "--model", "mlp", "--ratio", "10", "--precision", "float32", "--epochs", "3"]
    words += ["--lr", "0.05", "--output", str(tmp_path / "out")]
    assert _main(*words, "--test", monkeypatch=monkeypatch) == 0
    first = capsys.readouterr().out
    assert "epoch   3/3" in first
    assert "test  " in first
    assert _main(*words, "--test", monkeypatch=monkeypatch) == 0
    again = capsys.readouterr().out
    assert "epoch" not in again  # it was finished: only the evaluation on the test images is repeated
    assert [line for line in again.splitlines() if line.startswith("test")] == [
        line for line in first.splitlines() if line.startswith("test")
    ]


def test_a_folder_of_another_training_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["train", "erm", "--model", "mlp", "--ratio", "10", "--epochs", "1", "--output", str(tmp_path / "out")]
    assert _main(*words, monkeypatch=monkeypatch) == 0
    assert _main(*words, "--seed", "1", monkeypatch=monkeypatch) == 2
    assert "written by another configuration; name an empty folder" in capsys.readouterr().err


def test_a_folder_of_the_same_preset_with_other_defaults_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["train", "affinity", "--model", "mlp", "--ratio", "10", "--epochs", "1", "--output", str(tmp_path / "out")]
    assert _main(*words, monkeypatch=monkeypatch) == 0
    assert _main(*words, "--preset", "defaults-0.1", monkeypatch=monkeypatch) == 2
    assert "another configuration: with `margin` 0.3, not 0.75; name an empty folder" in capsys.readouterr().err


def test_a_training_that_diverges_says_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "erm", "--model", "mlp", "--ratio", "10", "--epochs", "2", "--lr", "1e30"]
    assert _main(*words, monkeypatch=monkeypatch) != 0
    said = capsys.readouterr().err
    assert "diverged" in said
    assert "at epoch 1, step" in said


def test_a_traceback_shows_no_password(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise RuntimeError("could not reach postgresql://me:hunter-11@host/x?password=hunter-12")

    monkeypatch.setattr(app, "app", fails)
    with pytest.raises(SystemExit) as ended:
        app.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1 and "Traceback" in said and "hunter" not in said
    assert "postgresql://me:***@host/x?password=***" in said
