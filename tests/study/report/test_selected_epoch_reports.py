from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from study.ledger.cell_ledger import Assignment
from study.replay.study_replay import ReplayOptions, replay_study
from study.report.confirmed_results import confirmed_tables
from study.report.confirmed_tables import print_report, report_as_json
from study.report.export import export_study
from study.report.leaderboard import print_leaderboard
from study.report.status import status_of
from study.store.study_view import open_view
from study.tracking.cell_sync import cell_summary
from study.tracking.run_fields import selected_metrics, trial_tags
from tests.study.made_study import EPOCHS, MadeStudy, spec_of
from trainables.core.errors import BadInput


@pytest.fixture
def made(tmp_path: Path) -> MadeStudy:
    """A study whose CCE trial is best at some epoch before the last."""
    search = {"trials": 1, "pruner": "none", "select": "best"}
    made = MadeStudy(tmp_path / "runs", spec_of(search=search, confirm={"seeds": 1}))
    made.complete("erm")
    trial = made.start("cce")
    for epoch in range(1, EPOCHS + 1):
        made.train(trial, range(epoch, epoch + 1), balanced_accuracy=0.9 if epoch == 3 else epoch / 10)
    result = made.files(trial).history()[2]
    made.ledger.of(trial).note_end(trial.number, result)
    made.ledger.of(trial).complete(trial.number, 0.9)
    made.confirm(lambda assignment: 0.5)
    return made


def _cce(made: MadeStudy) -> Assignment:
    cell = made.cells[made.cell_name("cce")]
    return Assignment(cell, 0, {})


def test_one_epoch_is_used_and_named_everywhere(made: MadeStudy, tmp_path: Path) -> None:
    view = next(cell for cell in open_view(made.folder).cells if cell.cell.method == "cce")
    trial = view.trials[0]
    assert (trial.value, trial.selected_epoch, trial.result()["balanced_accuracy"]) == (0.9, 3, 0.9)
    file = io.StringIO()
    print_leaderboard(made.folder, Console(file=file, width=200), every_trial=True)
    lines = [line.split() for line in file.getvalue().splitlines()]
    assert next(line for line in lines if line[:1] == ["cce"])[:6] == ["cce", "1", "0", "0", "3", "0.9000"]
    assert ["method", "trials", "pruned", "failed", "epoch"] in [line[:5] for line in lines]
    assert f"{EPOCHS}, best 3" in file.getvalue()
    status = next(cell for cell in status_of(made.folder.storage, "made")["cells"] if cell["method"] == "cce")
    assert status["best"]["epoch"] == 3
    assert cell_summary(view, made.spec)["best"]["epoch"] == 3
    assert trial_tags(trial, trial.stored_config())["selected_epoch"] == "3"
    curve = selected_metrics(trial, "balanced_accuracy", {})
    assert {m.key for m in curve} == {"validation/selected/balanced_accuracy"}
    assert [m.step for m in curve] == list(range(1, EPOCHS + 1))
    assert [m.value for m in curve[2:]] == [0.9] * (EPOCHS - 2)
    export_study(made.folder, tmp_path / "made.parquet")
    rows = pq.read_table(tmp_path / "made.parquet").to_pylist()
    own = [row for row in rows if row["method"] == "cce" and row["phase"] == "search"]
    assert {row["result_epoch"] for row in own} == {3}


def test_the_report_names_the_epochs_that_were_tested(made: MadeStudy, tmp_path: Path) -> None:
    tables = confirmed_tables(open_view(made.folder))
    (table,) = report_as_json(tables)
    assert table["select"] == "best"
    confirming = {cell.cell.method: cell.confirming[0] for cell in open_view(made.folder).cells}
    for row in table["rows"]:
        assert list(row["epochs"].values()) == [confirming[row["method"]].selected_epoch]
    file = io.StringIO()
    print_report(tables, Console(file=file, width=200))
    assert "evaluated with the weights of its best epoch on validation images" in file.getvalue()
    export_study(made.folder, tmp_path / "made.parquet")
    for row in pq.read_table(tmp_path / "made.parquet").to_pylist():
        tested = row["phase"] == "confirm" and row["epoch"] == row["result_epoch"]
        assert (row["test_accuracy"] is not None) is tested


def test_a_replay_is_refused(made: MadeStudy) -> None:
    with pytest.raises(BadInput, match=r"search\.select: a replay of 'made' .*--set search\.select=last replays it so"):
        replay_study(made.folder, ReplayOptions())
    assert replay_study(made.folder, ReplayOptions(("search.select=last",)))["cells"]
