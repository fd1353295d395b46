from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from study.ledger.cell_ledger import Assignment
from study.report.confirmed_results import confirmed_tables
from study.report.confirmed_tables import print_report, report_as_json
from study.report.export import export_study
from study.report.leaderboard import print_leaderboard
from study.store.study_view import open_view
from study.tracking.run_fields import trial_tags
from tests.study.made_study import MadeStudy, spec_of


def _move(made: MadeStudy, trial: Assignment, precision: str, device: str) -> None:
    """Say that a trial was trained elsewhere."""
    files = made.files(trial)
    stored = files.config() or {}
    files.write_config({**stored, "environment": {**stored["environment"], "precision": precision, "device": device}})


def _shown(made: MadeStudy, *, every_trial: bool) -> str:
    file = io.StringIO()
    print_leaderboard(made.folder, Console(file=file, width=250), every_trial=every_trial)
    return file.getvalue()


@pytest.fixture
def confirmed(tmp_path: Path) -> MadeStudy:
    made = MadeStudy(tmp_path, spec_of(search={"trials": 1}, confirm={"seeds": 1}))
    made.complete("erm"), made.complete("cce")
    made.confirm(lambda trial: 0.5)
    return made


def _reported(made: MadeStudy) -> str:
    file = io.StringIO()
    print_report(confirmed_tables(open_view(made.folder)), Console(file=file, width=250))
    return file.getvalue()


def test_one_precision_is_named(confirmed: MadeStudy) -> None:
    assert "precision: float32" in _shown(confirmed, every_trial=True)
    assert "precision" not in _shown(confirmed, every_trial=False)
    assert "precision: float32" in _reported(confirmed)
    (table,) = report_as_json(confirmed_tables(open_view(confirmed.folder)))
    assert table["precisions"] == [{"precision": "float32", "device": "cpu", "trials": 4}]
    assert table["precisions_are_mixed"] is False


def test_mixed_precisions_are_said(made: MadeStudy) -> None:
    made.complete("cce")
    _move(made, made.complete("cce"), "bfloat16", "NVIDIA H100")
    said = "precisions are mixed: float32 (1 trial, cpu), bfloat16 (1 trial, NVIDIA H100); they round differently"
    assert said in _shown(made, every_trial=True)
    assert said in _shown(made, every_trial=False)


def test_the_report_says_so_too(confirmed: MadeStudy) -> None:
    (cell, *_) = open_view(confirmed.folder).cells
    trial = Assignment(cell.cell, 0, {}, seed=cell.confirming[0].confirms)
    _move(confirmed, trial, "float32, bfloat16", "NVIDIA H100")
    assert "float32 (3 trials, cpu), float32 then bfloat16 (1 trial, NVIDIA H100)" in _reported(confirmed)
    (table,) = report_as_json(confirmed_tables(open_view(confirmed.folder)))
    assert table["precisions_are_mixed"] is True


def test_exports_and_runs_name_the_precision_of_every_trial(made: MadeStudy, tmp_path: Path) -> None:
    _move(made, made.complete("cce"), "bfloat16", "cpu")
    made.complete("cce")
    made.start("cce")  # its process has written nothing yet
    export_study(made.folder, tmp_path / "made.parquet")
    rows = pq.read_table(tmp_path / "made.parquet").to_pylist()
    assert {row["trial"]: row["precision"] for row in rows} == {0: "bfloat16", 1: "float32", 2: None}
    trial = next(cell for cell in open_view(made.folder).cells if cell.cell.method == "cce").trials[0]
    assert trial_tags(trial, trial.stored_config())["precision_used"] == "bfloat16"
