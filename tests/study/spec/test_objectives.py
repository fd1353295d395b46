from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from study.ledger.study_ledger import Ledger
from study.spec.objectives import Bounds, Ranking, constraint_violations
from study.spec.study_spec import StudySpec
from trainables.core.errors import BadInput

MakeSpec = Callable[..., StudySpec]
OpenLedger = Callable[..., Ledger]
LR = {"lr": {"low": 0.005, "high": 0.5, "scale": "log"}}
TWO = ["many", "loss"]

Point = tuple[tuple[float, ...] | None, float]


def _ranking(metrics: Any, first: str | None = None) -> Ranking[Point]:
    return Ranking(metrics, lambda trial: trial[0], lambda trial: {"many.min": trial[1]}, first)


@pytest.mark.parametrize(
    ("metrics", "trials", "front"),
    [
        ("many", [], []),
        ("many", [((0.5,), 0), ((0.9,), 0), ((0.7,), 0)], [1]),
        ("loss", [((0.5,), 0), ((0.9,), 0), ((0.7,), 0)], [0]),
        ("many", [((0.5,), 0), ((0.9,), 0.1)], [0]),  # infeasible trials do not count if one is feasible
        ("many", [((0.5,), 0.2), ((0.4,), 0.1)], [1]),  # if all are infeasible, the one with the smallest violation
        ("many", [((0.5,), -0.2), ((0.6,), -0.1)], [1]),  # kept with room is kept
        (("many", "loss"), [((0.5, 1.0), 0), ((0.9, 2.0), 0), ((0.7, 3.0), 0)], [1, 0]),
        (("many", "loss"), [((0.5, 1.0), 0), ((0.5, 1.0), 0), ((0.5, 2.0), 0)], [0, 1]),  # equal ones stay both
        (("many", "loss"), [((0.9, 1.0), 0.1), ((0.5, 2.0), 0), ((0.4, 1.0), 0)], [1, 2]),
        (("many", "loss"), [((0.9, 1.0), 0.1), ((0.5, 2.0), 0.2)], [0]),
        (("many", "few", "loss"), [((0.9, 0.1, 5.0), 0), ((0.1, 0.9, 5.0), 0), ((0.1, 0.1, 5.0), 0)], [0, 1]),
    ],
)
def test_the_front(metrics: Any, trials: list[Point], front: list[int]) -> None:
    ranking = _ranking(metrics)
    assert ranking.front(trials) == [trials[index] for index in front]
    assert ranking.best(trials) == (trials[front[0]] if front else None)


def test_one_metric_of_several_may_rank() -> None:
    trials: list[Point] = [((0.5, 1.0), 0.0), ((0.9, 2.0), 0.0)]
    assert _ranking(("many", "loss"), "loss").best(trials) == trials[0]
    assert _ranking(("many", "loss")).best([*trials, (None, 0.0)]) == trials[1]


def test_bounds_are_broken_by_what_is_lacking() -> None:
    bounds = {"many": Bounds(min=0.5, max=0.75), "loss": Bounds(max=2)}
    assert constraint_violations(bounds, {"many": 0.25, "loss": 3.0}) == {
        "many.min": 0.25,
        "many.max": -0.5,
        "loss.max": 1.0,
    }
    assert max(constraint_violations(bounds, {"many": 0.5, "loss": 2.0}).values()) == 0


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"metric": "balanced"}, "search.metric: unknown metric 'balanced'; did you mean 'balanced_accuracy'?"),
        ({"metric": ["many", "balanced"]}, "search.metric: unknown metric 'balanced'"),
        ({"metric": []}, "search.metric: must name at least one metric"),
        ({"metric": ["many", "many"]}, "search.metric: must name at least one metric and none twice"),
        ({"metric": 3}, "search.metric: must be the name of a metric, or a list of names, got 3"),
        ({"metric": [3]}, "search.metric: must be the name of a metric, or a list of names"),
        ({"metric": TWO, "pruner": "median"}, "`pruner` must be none (the default) with several metrics, got median"),
        ({"constraints": {"mony": {"min": 0.6}}}, "search.constraints: unknown metric 'mony'; did you mean 'many'?"),
        ({"constraints": {"many": {}}}, "search.constraints.many: `min` or `max` must be given"),
        ({"constraints": {"many": {"min": 2, "max": 1}}}, "search.constraints.many: `min` must be <= `max`, got 2"),
        ({"constraints": {"many": {"least": 1}}}, "search.constraints.many: unknown key 'least'"),
        ({"constraints": {"many": {"min": True}}}, "search.constraints.many: `min` must not be true or false"),
        ({"constraints": {"many": {"min": float("nan")}}}, "search.constraints.many.min: must be a finite number"),
    ],
)
def test_bad_objectives_are_refused(search: dict[str, Any], said: str, make_spec: MakeSpec) -> None:
    with pytest.raises(BadInput) as caught:
        make_spec(search=search)
    assert said in str(caught.value)
    assert str(caught.value).startswith("tiny.yaml: search")


def test_several_metrics_switch_the_default_pruner_off(make_spec: MakeSpec) -> None:
    spec = make_spec(search={"metric": TWO})
    assert (spec.search.metrics, spec.search.pruner.name) == (("many", "loss"), "none")
    assert make_spec(search={"metric": ["many"]}).search.metric == "many"
    assert make_spec(search={"metric": ["many"]}).search.pruner.name == "median"
    stored = spec.model_dump(mode="json")
    assert StudySpec.model_validate(stored) == spec


def _record(values: dict[str, Any], number: int) -> dict[str, float]:
    """Return the metrics of a simulated training: `many` favours a large lr, the loss a small one."""
    rate = math.log10(values["training.lr"]) + 2.5
    return {"many": rate / 3, "loss": 1 + rate**2, "few": 1 - rate / 3}


def _finish(ledger: Ledger) -> None:
    for assignment in (*ledger.interrupted(), *iter(ledger.next, None)):
        cell, record = ledger.of(assignment), _record(assignment.params, assignment.number)
        for epoch in (1, 2):
            assert not cell.report(assignment.number, epoch, record["many"])
        cell.note_end(assignment.number, record)
        cell.complete(assignment.number, *(record[name] for name in ledger.study.search.metrics))


def _content(ledger: Ledger) -> list[Any]:
    (cell,) = ledger.cells.values()
    return [(t.number, t.state, t.params, t.values, t.constraints, t.intermediate_values) for t in cell.trials()]


@pytest.mark.parametrize("searcher", ["tpe", "random", "qmc", "gp"])
@pytest.mark.parametrize("metric", [TWO, "many"])
def test_every_searcher_copes_and_proposes_the_same_when_killed_after_any_write(
    metric: Any, searcher: str, make_spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    search = {"trials": 8, "metric": metric, "searcher": searcher, "pruner": "none", "training": LR}
    study = make_spec(methods=["erm"], search={**search, "constraints": {"few": {"min": 0.5}}})
    (tmp_path / "whole").mkdir()
    _finish(open_ledger(study, tmp_path / "whole"))
    expected = _content(open_ledger(study, tmp_path / "whole"))
    assert all(constraints.keys() == {"few.min"} for *_, constraints, _ in expected)
    lines = (tmp_path / "whole" / "ledger.journal").read_bytes().splitlines(keepends=True)
    for count in range(0, len(lines), 23 if searcher == "gp" else 7):
        killed = tmp_path / f"killed-{count}"
        killed.mkdir()
        (killed / "ledger.journal").write_bytes(b"".join(lines[:count]))
        _finish(open_ledger(study, killed))
        assert _content(open_ledger(study, killed)) == expected, f"after {count} of {len(lines)} writes"


def test_an_infeasible_trial_is_not_the_best_when_there_is_a_feasible_one(
    make_spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    spec = make_spec(search={"trials": 9, "pruner": "none", "constraints": {"many": {"min": 0.6}}})
    (cell,) = open_ledger(spec).cells.values()
    expected = []
    for value, many in [(0.9, 0.4), (0.8, 0.5), (0.3, 0.7), (0.5, 0.6)]:
        number = cell.ask().number
        cell.note_end(number, {"many": many})
        cell.note_end(number, {"many": 0.0})  # a second time changes nothing
        cell.complete(number, value)
        expected.append(cell.best())
    assert [trial and trial.number for trial in expected] == [0, 1, 2, 3]
    assert cell.best() == cell._study.best_trial


def test_a_bound_on_what_is_not_a_number_fails_the_trial(make_spec: MakeSpec, open_ledger: OpenLedger) -> None:
    (cell,) = open_ledger(make_spec(search={"constraints": {"few": {"min": 0.6}}})).cells.values()
    number = cell.ask().number
    cell.note_end(number, {"few": math.nan})
    cell.complete(number, 0.9)
    trial = cell.trials()[number]
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "few is not a number at the end")


def test_the_best_of_several_metrics_is_on_optunas_front(make_spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(make_spec(methods=["erm"], search={"trials": 8, "metric": TWO, "training": LR}))
    _finish(ledger)
    (cell,) = ledger.cells.values()
    best = cell.best()
    assert best in cell._study.best_trials
    assert best is not None and best.values[0] == max(trial.values[0] for trial in cell.trials())
