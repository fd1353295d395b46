from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.report.export import export_study
from tests.study.made_study import EPOCHS, MadeStudy, spec_of
from trainables.core.errors import BadInput


def test_every_epoch_of_every_trial_is_a_row(made: MadeStudy, tmp_path: Path) -> None:
    trials = [made.complete("cce"), made.prune("cce", epochs=2), made.complete("erm", few=math.nan)]
    lost = made.fail("gone")
    path = tmp_path / "new" / "all.parquet"

    assert export_study(made.folder, path) == 2 * EPOCHS + 2 + 1

    rows = pq.read_table(path).to_pylist()
    for trial in trials:
        own = [row for row in rows if (row["cell"], row["trial"]) == (trial.cell.name, trial.number)]
        history = made.files(trial).history()
        assert [row["epoch"] for row in own] == [record["epoch"] for record in history]
        for row, record in zip(own, history, strict=True):
            for name, value in record.items():
                assert row[name] == (pytest.approx(value, nan_ok=True) if isinstance(value, float) else value)
            assert json.loads(row["params"]) == trial.params
            assert row["param.gamma"] == trial.params.get("gamma")
            assert (row["study"], row["dataset"], row["ratio"], row["seed"]) == ("made", "digits", 10.0, 0)
    (failed,) = (row for row in rows if row["trial"] == lost.number and row["cell"] == lost.cell.name)
    assert (failed["state"], failed["reason"], failed["epoch"], failed["loss"]) == ("FAIL", "gone", None, None)


def test_columns_have_one_type_whatever_the_trials_hold(tmp_path: Path) -> None:
    search = {"prototypes": {"low": 1, "high": 20, "integer": True}, "average_over_classes": {"choices": [True, False]}}
    method = {"name": "affinity", "search": search}
    made = MadeStudy(tmp_path, spec_of(methods=[method, "ldam"], search={"trials": 3, "pruner": "none"}))
    made.fail("gone", "affinity")
    made.complete("affinity")
    made.complete("ldam")
    export_study(made.folder, tmp_path / "all.parquet")

    schema = pq.read_schema(tmp_path / "all.parquet")

    assert schema.names[:4] == ["study", "cell", "dataset", "profile"]
    wanted = {
        "reason": pa.string(),
        "trial": pa.int64(),
        "epoch": pa.int64(),
        "param.prototypes": pa.float64(),
        "param.average_over_classes": pa.bool_(),
        "param.scale": pa.float64(),
        "worst_recall": pa.float64(),
    }
    assert {name: schema.field(name).type for name in wanted} == wanted


def test_a_study_without_trials_has_columns_and_no_rows(made: MadeStudy, tmp_path: Path) -> None:
    assert export_study(made.folder, tmp_path / "all.parquet") == 0
    assert "cell" in pq.read_schema(tmp_path / "all.parquet").names


def test_the_file_is_replaced_when_asked_and_whole_and_nothing_else_is_left(made: MadeStudy, tmp_path: Path) -> None:
    path = tmp_path / "out" / "all.parquet"
    made.complete()
    export_study(made.folder, path)
    made.complete()
    with pytest.raises(BadInput, match=r"all\.parquet: already exists; --force replaces it"):
        export_study(made.folder, path)
    assert pq.read_table(path).num_rows == EPOCHS
    export_study(made.folder, path, force=True)
    assert pq.read_table(path).num_rows == 2 * EPOCHS
    assert [item.name for item in path.parent.iterdir()] == ["all.parquet"]


def test_a_place_that_cannot_be_written_is_bad_input(made: MadeStudy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="--to"):
        export_study(made.folder, tmp_path / "file" / "all.parquet")
