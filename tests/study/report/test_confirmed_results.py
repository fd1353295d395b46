from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from study.ledger.cell_ledger import Assignment
from study.report.comparison import compared, print_comparison
from study.report.confirmed_results import confirmed_tables
from study.report.confirmed_tables import print_report, report_as_json, undefined
from study.report.export import export_study
from study.report.html.findings import limits_of
from study.report.html.provenance import provenance_of
from study.report.html.results import results_of
from study.report.leaderboard import print_leaderboard
from study.report.paper_table import paper_table
from study.report.status import overview, status_of
from study.report.table_formats import caption
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput

SEEDS = 3


def _tested(trial: Assignment) -> float:
    """A study with ERM at .5, CCE's best at .6 to .62 and CCE's preset at .55; each seed adds a little."""
    seed = (trial.seed or 0) % 10
    if trial.cell.method == "erm":
        return 0.5 + seed / 100
    return (0.55 if trial.params == trial.cell.preset_params() else 0.6) + seed**2 / 100


def _study(tmp_path: Path, name: str = "made", **changes: Any) -> MadeStudy:
    made = MadeStudy(tmp_path, spec_of(name, **{"search": {"trials": 2}, "confirm": {"seeds": SEEDS}, **changes}))
    made.complete("erm"), made.complete("erm")
    made.complete("cce", balanced_accuracy=0.1), made.complete("cce", balanced_accuracy=0.9)
    return made


@pytest.fixture
def study(tmp_path: Path) -> MadeStudy:
    made = _study(tmp_path)
    made.confirm(_tested)
    return made


def _print(what: Any, *given: Any, **named: Any) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        what(*given, console, **named)
    return capture.get()


def test_means_and_deviations_over_seeds(study: MadeStudy) -> None:
    (table,) = confirmed_tables(open_view(study.folder))
    assert (table.dataset, table.profile, table.metric) == ("digits", "long_tail-10", "balanced_accuracy")
    rows = {(row.method, row.setting): row for row in table.rows}
    assert list(rows) == [("cce", "best"), ("cce", "preset"), ("erm", "best"), ("erm", "preset")]
    best = rows["cce", "best"]
    assert best.n == SEEDS
    assert best.by_seed["geometric_mean"] == pytest.approx({10_000: 0.6, 10_001: 0.61, 10_002: 0.64})
    assert best.mean("balanced_accuracy") == pytest.approx((0.6 + 0.61 + 0.64) / 3)
    assert best.deviation("balanced_accuracy") == pytest.approx(statistics.stdev([0.6, 0.61, 0.64]))
    assert rows["erm", "best"].shared and not best.shared
    assert best.params == open_view(study.folder).cells[1].best().params


def test_tests_are_against_erms_best_and_the_own_preset(study: MadeStudy) -> None:
    (table,) = confirmed_tables(open_view(study.folder))
    (erm,) = table.against_baseline
    assert (erm.method, erm.against, erm.found.n) == ("cce", "erm", 3)
    assert erm.found.difference == pytest.approx((0.1 + 0.1 + 0.12) / 3)
    assert erm.t_holm == erm.found.t_test is not None
    assert erm.found.wilcoxon is None
    (preset,) = table.against_preset
    assert (preset.method, preset.against) == ("cce", "preset")
    assert preset.found.difference == pytest.approx(0.05)


def test_another_baseline_and_metric(study: MadeStudy) -> None:
    (table,) = confirmed_tables(open_view(study.folder), metric="few", baseline="cce")
    assert [(test.method, test.against, test.found.n) for test in table.against_baseline] == [("erm", "cce", 0)]
    for wrong, said in (({"metric": "fwe"}, "did you mean 'few'"), ({"baseline": "ccee"}, "did you mean 'cce'")):
        with pytest.raises(BadInput, match=said):
            confirmed_tables(open_view(study.folder), **wrong)
    with pytest.raises(BadInput, match="train_loss"):
        confirmed_tables(open_view(study.folder), metric="train_loss")


def test_what_is_printed(study: MadeStudy) -> None:
    printed = _print(print_report, confirmed_tables(open_view(study.folder)))
    assert "digits long_tail-10: test images, mean and standard deviation over seeds" in printed
    assert "0.6167 +-0.0208" in printed
    assert "best = preset" in printed
    assert "balanced_accuracy, best against best of erm" in printed
    assert "the tests say nothing about other data sets" in printed
    assert "Paired over at least 3 common seeds" in printed
    assert "optimistic" not in printed


def test_a_metric_of_an_empty_group_is_said_to_be_undefined(study: MadeStudy) -> None:
    tables = confirmed_tables(open_view(study.folder), metric="few")
    printed = _print(print_report, tables)
    assert "few is not defined on digits long_tail-10: there are no classes with fewer than 20 training im" in printed
    assert "best against" not in printed and "no ERM" not in printed
    assert report_as_json(tables)[0]["undefined"].startswith("few is not defined")
    assert undefined(confirmed_tables(open_view(study.folder))[0]) is None


def test_as_json(study: MadeStudy) -> None:
    tables = report_as_json(confirmed_tables(open_view(study.folder)))
    again = json.loads(json.dumps(tables, allow_nan=False))
    assert again == tables
    row, test = again[0]["rows"][0], again[0]["against_baseline"][0]
    assert (row["method"], row["setting"], row["n"], row["missing"]) == ("cce", "best", 3, 0)
    few = row["metrics"]["few"]
    assert few == {"mean": None, "std": None, "by_seed": {"10000": None, "10001": None, "10002": None}}
    assert test["t_test_holm"] == test["t_test"] > 0


def test_half_done_says_what_is_missing(tmp_path: Path) -> None:
    made = _study(tmp_path)
    made.confirm(_tested, until=4)
    view = open_view(made.folder)
    assert view.state == "interrupted"
    printed = _print(print_report, confirmed_tables(view))
    assert "2 (1 missing)" in printed and "1 (2 missing)" in printed
    cells = status_of(tmp_path, "made")["cells"]
    assert [cell["confirmation"]["left"] for cell in cells] == [1, 4]
    assert [cell["confirmation"]["states"]["COMPLETE"] for cell in cells] == [2, 2]
    made.confirm(_tested)
    assert open_view(made.folder).state == "finished"
    (line,) = overview(tmp_path)
    assert (line["done"], line["trials"], line["state"]) == (13, 13, "finished")


def test_a_larger_budget_moves_the_best(study: MadeStudy, tmp_path: Path) -> None:
    larger = spec_of(search={"trials": 3}, confirm={"seeds": SEEDS})
    study.folder.write_spec(larger)
    study.spec = larger
    study.reopen()
    study.complete("erm")
    assert open_view(study.folder).state == "interrupted"
    study.complete("cce", balanced_accuracy=0.95)
    view = open_view(study.folder)
    assert [cell.unconfirmed(view.spec) for cell in view.cells] == [0, SEEDS]
    assert len(study.confirm(_tested)) == SEEDS
    (table,) = confirmed_tables(open_view(study.folder))
    assert {row.n for row in table.rows} == {SEEDS}


def test_an_export_has_them_in_a_phase_of_their_own(study: MadeStudy, tmp_path: Path) -> None:
    export_study(study.folder, tmp_path / "all.parquet")
    rows = pq.read_table(tmp_path / "all.parquet").to_pylist()
    assert {row["phase"] for row in rows} == {"search", "confirm"}
    tested = [row for row in rows if row["test_balanced_accuracy"] is not None]
    assert {(row["phase"], row["epoch"]) for row in tested} == {("confirm", 5)}
    assert len(tested) == 9
    assert {row["seed"] for row in tested} == {10_000, 10_001, 10_002}
    assert {row["param_source"] for row in tested} == {"best", "preset", "best and preset"}


def test_the_leaderboard_of_the_search_does_not_show_them(tmp_path: Path) -> None:
    made = _study(tmp_path)
    before = _print(lambda console, **n: print_leaderboard(made.folder, console, **n), every_trial=True)
    made.confirm(_tested)
    assert before == _print(lambda console, **n: print_leaderboard(made.folder, console, **n), every_trial=True)


def test_studies_side_by_side(study: MadeStudy, tmp_path: Path) -> None:
    other = _study(tmp_path, "other", confirm=None)
    entries = compared([study.folder, other.folder], "balanced_accuracy")
    found = {(entry["study"], entry["method"]): entry for entry in entries}
    assert (found["made", "cce"]["on"], found["made", "cce"]["n"]) == ("test", 3)
    assert (found["other", "cce"]["on"], found["other", "cce"]["mean"]) == ("validation", 0.9)
    printed = _print(print_comparison, entries, "balanced_accuracy")
    assert "0.6167 +-0.0208 (n=3)" in printed and "0.9000 val" in printed
    assert "not comparable with test results" in printed
    assert "not comparable; they" not in printed  # only one is from validation images
    with pytest.raises(BadInput, match="named twice"):
        compared([study.folder, study.folder], "balanced_accuracy")
    with pytest.raises(BadInput, match="no study 'mode'"):
        compared([StudyFolder(tmp_path, "mode")], "balanced_accuracy")


def _compared(*studies: MadeStudy) -> str:
    entries = compared([made.folder for made in studies], "balanced_accuracy")
    return _print(print_comparison, entries, "balanced_accuracy")


def test_validation_results_of_like_studies_stand_side_by_side(tmp_path: Path) -> None:
    printed = _compared(*(_study(tmp_path, name, confirm=None) for name in ("one", "two")))
    assert "val: one trial, selected on the validation images it was scored on" in printed
    assert "not comparable with test results" not in printed
    assert "not comparable; they" not in printed


def _data(profile: int = 10, **changes: Any) -> list[dict[str, Any]]:
    return [{"dataset": "digits", "profiles": [{"kind": "long_tail", "ratio": profile}], **changes}]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": _data(validation_fraction=0.2)}, "validation fraction (one: 0.1, two: 0.2)"),
        ({"data": _data(protocol="test-select")}, "protocol (one: holdout, two: test-select)"),
        ({"data": _data(subset_seed=3)}, "subset seed (one: 0, two: 3)"),
        ({"data": _data(image_size=12)}, "image size (one: none, two: 12)"),
        (
            {"training": {"epochs": 50}, "model": "conv-tiny"},
            "epochs (one: 5, two: 50); model (one: mlp, two: conv-tiny)",
        ),
    ],
    ids=["fraction", "protocol", "seed", "size", "training"],
)
def test_validation_results_that_cannot_be_compared_are_called_so(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    printed = _compared(_study(tmp_path, "one", confirm=None), _study(tmp_path, "two", confirm=None, **changes))
    assert f"val: these studies are not comparable; they differ in {said}\n" in printed
    assert "different protocols" not in printed


def test_studies_without_a_profile_in_common_need_no_like_images(tmp_path: Path) -> None:
    other = _study(tmp_path, "two", confirm=None, data=_data(20, validation_fraction=0.2))
    assert "cannot be compared" not in _compared(_study(tmp_path, "one", confirm=None), other)


def test_drawn_test_images_are_said_everywhere(tmp_path: Path) -> None:
    made = _study(tmp_path)
    made.described = {"test_images": "drawn: 20 % of every class, test_seed 0"}
    made.confirm(_tested)
    view = open_view(made.folder)
    said = "drawn: 20 % of every class, test_seed 0"
    assert f"Test images of digits: {said}; it has no test split" in _print(print_report, confirmed_tables(view))
    assert f"digits has no test split of its own; test images: {said}." in caption(paper_table([view]))
    assert ("test images", f"digits: {said}") in provenance_of(view).facts
    assert any(said in limit for limit in limits_of(results_of(view)))


def test_studies_with_other_draws_are_said_to_differ(tmp_path: Path) -> None:
    one, two = _study(tmp_path, "one"), _study(tmp_path, "two", data=_data(10, test_seed=4))
    for made in (one, two):
        made.confirm(_tested)
    assert "Test images of these studies differ: seed of the draw of test images (one: 0, two: 4)" in _compared(
        one, two
    )


def test_test_select_is_called_optimistic(tmp_path: Path) -> None:
    data = [{"dataset": "digits", "protocol": "test-select", "profiles": [{"ratio": 10}]}]
    made = _study(tmp_path, data=data)
    made.confirm(_tested)
    assert "so the results are optimistic" in _print(print_report, confirmed_tables(open_view(made.folder)))
