"""Ours beside the paper's: difference, spread, what is not judged, and how it is printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from study.reproduce.joined_figures import Joined, joined_as_json, joined_figures
from study.reproduce.own_results import Own
from study.reproduce.published import Figure, table_named
from study.reproduce.reproduction_plan import Changes, Plan, plan
from study.reproduce.reproduction_tables import print_reproduction, reproduction_markdown
from study.spec.study_spec import StudySpec
from tests.study.made_study import EPOCHS, MadeStudy
from trainables.core.errors import BadInput

# as long as the simulated trials are
SCALE = EPOCHS / 200


def _joined(
    paper: tuple[float, float | None] | None, own: tuple[float, float | None] | None, *, judged: bool = True
) -> Joined:
    figure = None if paper is None else Figure(mean=paper[0], deviation=paper[1])
    mine = None if own is None else Own(own[0], own[1], 3, "test")
    return Joined("CE", "LT 100", "erm (paper)", figure, mine, None, None, judged)


@pytest.mark.parametrize(
    ("paper", "own", "spread", "within"),
    [
        ((70.0, 0.5), (70.9, 0.4), "ours and the paper's", True),
        ((70.0, 0.5), (70.91, 0.4), "ours and the paper's", False),
        ((70.0, None), (69.6, 0.4), "ours", True),
        ((70.0, 0.3), (69.6, None), "the paper's", False),
        ((70.0, None), (70.0, None), None, None),
        (None, (70.0, 0.1), "ours", None),
        ((70.0, 0.1), None, "the paper's", None),
    ],
)
def test_a_difference_lies_within_the_sum_of_the_known_deviations(
    paper: tuple[float, float | None] | None,
    own: tuple[float, float | None] | None,
    spread: str | None,
    within: bool | None,
) -> None:
    joined = _joined(paper, own)
    assert (joined.spread, joined.within) == (spread, within)


def test_what_is_not_comparable_is_not_judged() -> None:
    joined = _joined((70.0, 5.0), (70.0, 5.0), judged=False)
    assert joined.difference == 0 and joined.within is None


@pytest.fixture
def planned() -> Plan:
    return plan(table_named("cce/table-2"), Changes(scale=SCALE, dataset="digits", ratio=10, model="mlp"))


def _spec(planned: Plan) -> StudySpec:
    (study,) = planned.studies.values()
    return study.spec


def test_confirmed_results_join_their_figures(planned: Plan, tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, _spec(planned))
    for method in ("erm", "focal", "cot", "cce"):
        made.complete(method)
    made.confirm(lambda trial: 0.5 if trial.cell.method == "erm" else 0.75)
    joined = {one.row: one for one in joined_figures(planned, tmp_path)}
    assert list(joined) == ["ERM", "FL", "COT", "CCE"]
    own = joined["ERM"].own
    assert own == Own(50.0, None, 1, "test")
    assert joined["CCE"].difference == pytest.approx(75 - 88.37)
    assert joined["CCE"].method == "cce (paper)" and joined["CCE"].within is None


def test_a_scaled_run_is_labelled_wherever_it_is_printed(planned: Plan, tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, _spec(planned))
    for method in ("erm", "focal", "cot", "cce"):
        made.complete(method)
    made.confirm(lambda trial: 0.5)
    joined = joined_figures(planned, tmp_path)
    console = Console(width=200)
    with console.capture() as capture:
        print_reproduction(planned, joined, console)
    said = "scale 0.025: 5 of 200 epochs, 1 trials, 1 of 3 seeds; network mlp in place of the paper's"
    for printed in (capture.get(), reproduction_markdown(planned, joined)):
        assert f"NOT COMPARABLE with the paper at full length: {said}" in printed
        assert "not judged" in printed and "Differences are shown and not judged" in printed
    assert "cce/table-2, LT 10 (scale 0.025, ours on digits)" in capture.get()
    found = json.loads(json.dumps(joined_as_json(planned, joined), allow_nan=False))
    assert (found["comparable"], found["scale"]) == (False, SCALE)
    assert found["figures"][0]["paper"] == {"mean": 87.21, "deviation": None}
    assert found["figures"][0]["ours"] == {"mean": 50.0, "deviation": None, "n": 1, "images": "test"}
    assert "scale-0.025" in found["studies"][0]


def test_points_of_a_grid_are_its_trials(tmp_path: Path) -> None:
    changes = Changes(scale=SCALE, dataset="digits", ratio=10, model="mlp", only=("gamma -1", "gamma -5"))
    planned = plan(table_named("cce/table-9"), changes)
    made = MadeStudy(tmp_path, _spec(planned))
    made.complete("cce", balanced_accuracy=0.25)
    one, other = joined_figures(planned, tmp_path)
    assert (one.row, one.own) == ("gamma -1", Own(25.0, None, 1, "validation"))
    assert (other.row, other.own, other.why_not) == ("gamma -5", None, "no result yet")
    made.complete("cce", balanced_accuracy=0.75)
    other = joined_figures(planned, tmp_path)[1]
    assert other.own == Own(75.0, None, 1, "validation")


def test_errors_are_shown_where_the_figure_shows_them(tmp_path: Path) -> None:
    changes = Changes(scale=SCALE * 2, dataset="digits", ratio=10, model="mlp", only=("sigma 10",))
    planned = plan(table_named("affinity/figure-7"), changes)
    assert _spec(planned).training.epochs == EPOCHS
    made = MadeStudy(tmp_path, _spec(planned))
    made.complete("sigma", accuracy=0.75)
    (point,) = joined_figures(planned, tmp_path)
    assert point.own is not None and point.own.mean == 25.0 and point.paper is None


def test_nothing_trained_and_nothing_to_train_say_so(tmp_path: Path) -> None:
    assert {one.why_not for one in joined_figures(plan(table_named("cce/table-2")), tmp_path)} == {"not trained yet"}
    faces = joined_figures(plan(table_named("affinity/table-3")), tmp_path)
    assert "cited from another paper" in {one.why_not for one in faces}
    assert all(one.own is None and one.method is None for one in faces)


def test_a_stored_study_with_other_settings_is_refused(planned: Plan, tmp_path: Path) -> None:
    spec = _spec(planned)
    MadeStudy(tmp_path, spec.model_copy(update={"seed": 7}))
    with pytest.raises(BadInput, match="is not the study of the table: seed is 7, not 0"):
        joined_figures(planned, tmp_path)


def test_other_resources_and_data_folders_are_the_same_study(planned: Plan, tmp_path: Path) -> None:
    spec = _spec(planned)
    resources = spec.resources.model_copy(update={"gpus": 0.0, "cpus": 1})
    MadeStudy(tmp_path, spec.model_copy(update={"resources": resources}).with_data_dir(tmp_path))
    assert {one.why_not for one in joined_figures(planned, tmp_path)} == {"no result yet"}
