from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from study.api.study_handle import Study
from study.report.class_export import export_classes
from study.report.export import all_trials, export_study
from study.report.response_export import export_responses
from study.search.ratio_response import ratio_responses
from study.store.study_view import TrialView, open_view
from tests.study.made_study import EPOCHS, MadeStudy, spec_of
from tests.study.ratio_study import ratio_study
from trainables.core.errors import BadInput

ROOT = Path(__file__).parents[3]


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
            assert record.pop("recall")  # the table of classes has it
            for name, value in record.items():
                nan = isinstance(value, float) and math.isnan(value)
                assert row[name] == (None if nan else pytest.approx(value) if isinstance(value, float) else value)
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


def _documented() -> dict[str, str]:
    """Return the columns of docs/export.md by name, with their types."""
    found: dict[str, str] = {}
    for line in (ROOT / "docs" / "export.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0].startswith("`"):
            found |= dict.fromkeys((name.strip(" `") for name in cells[0].split(",")), cells[1])
    return found


@pytest.fixture
def confirmed(tmp_path: Path) -> MadeStudy:
    made = MadeStudy(tmp_path / "runs", spec_of(search={"trials": 1}, confirm={"seeds": 2}))
    made.complete("erm"), made.complete("cce")
    made.confirm(lambda trial: 0.5)
    return made


def test_every_column_is_documented_with_its_type(confirmed: MadeStudy, tmp_path: Path) -> None:
    export_study(confirmed.folder, tmp_path / "all.parquet")
    export_classes(confirmed.folder, tmp_path / "classes.parquet")
    assert export_responses(confirmed.folder, tmp_path / "responses.parquet") == 0  # a study of one ratio
    documented = _documented()
    for file in ("all.parquet", "classes.parquet", "responses.parquet"):
        for field in pq.read_schema(tmp_path / file):
            name = "param.NAME" if field.name.startswith("param.") else field.name
            name = "test_METRIC" if name.startswith("test_") else name
            said = {"list<element: int64>": "list of int64, one per class"}.get(str(field.type), str(field.type))
            assert documented[name].startswith(said), field.name


def test_results_per_class_are_those_of_the_trial_folders(confirmed: MadeStudy, tmp_path: Path) -> None:
    path = tmp_path / "classes.parquet"
    trials = all_trials(open_view(confirmed.folder))
    sets = [(trial, on, found) for trial in trials for on, found in _evaluated(trial)]
    assert export_classes(confirmed.folder, path) == 10 * len(sets)
    rows = pq.read_table(path).to_pylist()
    assert {on for _, on, _ in sets} == {"validation", "test"}
    for trial, on, found in sets:
        place = (trial.cell.name, trial.phase, trial.number, on)
        own = [row for row in rows if (row["cell"], row["phase"], row["trial"], row["on"]) == place]
        assert [row["class"] for row in own] == list(range(10))
        assert [row["predicted"] for row in own] == found["confusion"]
        assert [row["recall"] for row in own] == pytest.approx(found["recall"])
        assert all(row["recall"] == pytest.approx(row["correct"] / row["images"]) for row in own)
        assert {row["epoch"] for row in own} == {found["epoch"]} == {trial.result_epoch}
        assert [row["training_images"] for row in own] == found["class_counts"]


def _evaluated(trial: TrialView) -> list[tuple[str, dict[str, Any]]]:
    both = (("validation", trial.evaluation()), ("test", trial.test()))
    return [(on, found) for on, found in both if found is not None]


def test_responses_are_those_of_the_model(tmp_path: Path) -> None:
    made = ratio_study(tmp_path / "runs", 4, (10, 100))
    path = tmp_path / "responses.parquet"
    rows = export_responses(made.folder, path)
    view = open_view(made.folder)
    (response,) = ratio_responses(view.spec, [(cell.cell, cell.frozen) for cell in view.cells])
    table = pq.read_table(path).to_pydict()
    assert len(table["ratio"]) == rows == len(response.ratios)
    for column in ("ratio", "mean", "low", "high"):
        assert tuple(table[column]) == getattr(response, {"ratio": "ratios"}.get(column, column))
    assert {(table[name][0], table[name][-1]) for name in ("profile_kind", "method", "metric", "trials")} == {
        ("long_tail", "long_tail"),
        ("cce", "cce"),
        ("balanced_accuracy", "balanced_accuracy"),
        (8, 8),
    }
    assert [json.loads(params) for params in table["params"]] == list(response.settings)
    assert table["param.gamma"] == [setting["gamma"] for setting in response.settings]
    frame = Study(view.spec.name, tmp_path / "runs").responses()
    assert frame.to_dict("list") == table
    without = list(Study(_one_ratio(tmp_path / "one"), tmp_path / "one").responses().columns)
    assert without == [name for name in table if not name.startswith("param.")]


def _one_ratio(folder: Path) -> str:
    return ratio_study(folder, 4, (10,)).spec.name


def test_a_class_without_images_has_no_recall(made: MadeStudy, tmp_path: Path) -> None:
    files = made.files(made.complete())
    found = files.evaluation()
    found["recall"][3], found["confusion"][3] = math.nan, [0] * 10
    files.write_evaluation(found)
    export_classes(made.folder, tmp_path / "classes.parquet")
    row = pq.read_table(tmp_path / "classes.parquet").to_pylist()[3]
    assert (row["images"], row["correct"], row["recall"]) == (0, 0, None)
