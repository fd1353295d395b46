"""A method's own metrics go from a trial's epochs into the ledger, the reports, the exports and MLflow."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from rich.console import Console

from study.report.export import export_study
from study.report.leaderboard import print_leaderboard
from study.store.study_view import open_view
from study.tracking import record_study
from study.tracking.run_index import Runs
from tests.study.made_study import MadeStudy, spec_of

IDLE, BUSY = ({"sites": 0.75, "accepted": share, "known": 0.5} for share in (0.009, 0.4))
NOTICE = "in effect deferred re-sampling: under 1% of the generation sites were translated"


@pytest.fixture
def made(tmp_path: Path) -> MadeStudy:
    made = MadeStudy(tmp_path / "runs", spec_of(methods=["m2m", "erm"], search={"trials": 3, "pruner": "none"}))
    made.complete("m2m", method_metrics=BUSY)
    idle = made.complete("m2m", method_metrics=IDLE)
    made.complete("erm")
    arrays: dict[str, Any] = {"seed": np.zeros((1, 1, 8, 8), np.uint8), "translated": np.zeros((1, 1, 8, 8))}
    flags = {"target": [1], "seed_class": [0], "confidence": [0.9], "accepted": [True], "known": [False]}
    made.files(idle).write_arrays("translations", arrays | {name: np.array(value) for name, value in flags.items()})
    return made


def test_the_ledger_has_those_of_the_last_epoch(made: MadeStudy) -> None:
    m2m, erm = open_view(made.folder).cells
    assert [trial.method_metrics for trial in m2m.trials] == [BUSY, IDLE]
    assert [trial.notices() for trial in m2m.trials] == [[], [NOTICE]]
    assert erm.trials[0].method_metrics == {} and erm.notices() == []


def test_study_show_names_the_trials_that_are_in_effect_something_else(made: MadeStudy) -> None:
    file = io.StringIO()
    print_leaderboard(made.folder, Console(file=file, width=160), every_trial=True)
    assert [line for line in file.getvalue().splitlines() if "in effect" in line] == [
        f"digits/long_tail-10/m2m: trial 1: {NOTICE}"
    ]


def test_the_export_has_a_column_for_each(made: MadeStudy, tmp_path: Path) -> None:
    export_study(made.folder, tmp_path / "all.parquet")
    rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
    by_method = {method: [row for row in rows if row["method"] == method] for method in ("m2m", "erm")}
    assert {row["method.accepted"] for row in by_method["m2m"]} == {0.4, 0.009}
    assert {row["method.accepted"] for row in by_method["erm"]} == {None}
    assert "method_metrics" not in rows[0]


def test_mlflow_has_metrics_notice_and_picture(made: MadeStudy, tmp_path: Path) -> None:
    record_study(made.folder)
    view = open_view(made.folder)
    runs, cell = Runs(made.folder, made.spec), view.cells[0]
    busy, idle = (runs.of_trial(trial) for trial in cell.trials)
    assert busy is not None and idle is not None
    client: MlflowClient = runs.client
    found = client.get_run(idle.id)
    assert found.data.metrics["training/method/accepted"] == IDLE["accepted"]
    assert len(client.get_metric_history(idle.id, "training/method/known")) == made.spec.training.epochs
    assert found.data.tags["notice"] == NOTICE and NOTICE in found.data.tags["mlflow.note.content"]
    assert "notice" not in client.get_run(busy.id).data.tags
    summary = client.get_run(runs.of_cell(cell.cell, None).id).data.tags
    assert summary["notice"] == f"trial 1: {NOTICE}" and NOTICE in summary["mlflow.note.content"]
    pictures = [{file.path for file in client.list_artifacts(run.id)} & {"translations.png"} for run in (busy, idle)]
    assert pictures == [set(), {"translations.png"}]
    picture = Path(client.download_artifacts(idle.id, "translations.png", str(tmp_path)))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert math.isclose(found.data.metrics["training/method/sites"], 0.75)
