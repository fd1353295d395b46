"""`study reproduce` lists, shows, trains what it can, and refuses what it cannot train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from study.cli.app import app
from study.driver.exit_codes import ExitCode
from study.driver.outcome import Outcome
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from tests.study.made_study import EPOCHS, MadeStudy
from trainables.core.errors import BadInput

SMALL = ("--scale", str(EPOCHS / 200), "--model", "mlp", "--dataset", "digits", "--ratio", "10")


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUDY_DATA_DIR", raising=False)


def _reproduce(storage: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["reproduce", *words, "--storage", str(storage)], env={"COLUMNS": "300"})


def test_one_table_is_shown_without_training(tmp_path: Path) -> None:
    shown = _reproduce(tmp_path, "cce/table-9", "--show", "--scale", "0.1", "--only", "LT 100")
    assert shown.exit_code == 0, shown.output
    assert "NOT COMPARABLE with the paper at full length: scale 0.1: 20 of 200 epochs, 10 trials" in shown.output
    assert "not trained yet" in shown.output and "Whole: 1 cells, 10 trials, hours: " in shown.output
    assert list(tmp_path.iterdir()) == []


def test_it_trains_prints_ours_and_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver is replaced by simulated trials: starting Ray takes longer than the rest of the test."""

    def run(spec: StudySpec, storage: Path, **said: Any) -> Outcome:
        assert spec.resources.gpus == 0 and said["source"].endswith("cce-table-2.yaml")
        made = MadeStudy(storage, spec)
        for method in ("erm", "focal", "cot", "cce"):
            made.complete(method)
        made.confirm(lambda trial: 0.5)
        return Outcome(made.folder, ExitCode.DONE, "trained")

    resumed = []

    def resume(name: str, storage: Path, overrides: tuple[str, ...], **said: Any) -> Outcome:
        resumed.append((name, overrides))
        return Outcome(StudyFolder(storage, name), ExitCode.DONE, "finished", idle=True)

    monkeypatch.setattr("study.driver.driver.run", run)
    monkeypatch.setattr("study.driver.driver.resume", resume)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    found = _reproduce(tmp_path, "cce/table-2", *SMALL, "--json")
    assert found.exit_code == 0, found.output
    figures = json.loads(found.stdout)["figures"]
    assert [figure["ours"]["mean"] for figure in figures] == [50.0] * 4
    assert [figure["within_spread"] for figure in figures] == [None] * 4
    assert resumed == []
    again = _reproduce(tmp_path, "cce/table-2", *SMALL, "--markdown")
    assert again.exit_code == 0 and again.stdout.startswith("## cce/table-2: ")
    assert "| LT 10 | ERM | erm (paper) | 87.21 | 50.00 | 1 | -37.21 | not judged |" in again.stdout
    assert [overrides for _, overrides in resumed] == [()]


def test_what_cannot_be_trained_is_refused_with_the_reason(tmp_path: Path) -> None:
    for words, said in (
        (("affinity/table-3",), "affinity/table-3 cannot be trained here: cited from another paper"),
        (("elm/table-2",), "imagenet-lt is by hand"),
        (("m2m/table-2", "--only", "reuters"), "the paper does not say how its texts became vectors"),
        (("cce/table-22",), "did you mean 'cce/table-2'"),
        (("cce/table-2", "--json", "--markdown"), "only one of them"),
    ):
        refused = _reproduce(tmp_path, *words)
        assert isinstance(refused.exception, BadInput), words
        assert said in str(refused.exception)
