from __future__ import annotations

import hashlib
import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from study.ledger.cell_ledger import Assignment
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.study_spec import StudySpec

MakeSpec = Callable[..., StudySpec]
OpenLedger = Callable[..., Ledger]
SEARCHERS = ["tpe", "random", "qmc", "cmaes", "grid", "ratio-gp", pytest.param("gp", marks=pytest.mark.slow)]
LONG = pytest.mark.timeout(1800)
METHODS = ["erm", "cce", "ldam-drw"]
LR = {"lr": {"low": 0.005, "high": 0.5, "scale": "log"}}
EPOCHS = 5


def _search(**changes: Any) -> dict[str, Any]:
    return {"trials": 7, "training": LR, "pruner": "none", **changes}


def _curve(assignment: Assignment, epoch: int) -> float:
    """Return the value of a simulated training after an epoch; it depends only on cell and params."""
    text = repr((assignment.cell.name, sorted(assignment.params.items())))
    height = hashlib.sha256(text.encode()).digest()[0] / 255
    return height * epoch / EPOCHS


def _train(ledger: Ledger, assignment: Assignment, curve: Callable[[Assignment, int], float] = _curve) -> None:
    cell, number = ledger.of(assignment), assignment.number
    for epoch in range(1, EPOCHS + 1):
        stop = cell.report(number, epoch, curve(assignment, epoch))
        if stop and epoch < EPOCHS:
            return cell.prune(number)
    cell.complete(number, curve(assignment, EPOCHS))


def _finish(ledger: Ledger) -> None:
    for assignment in ledger.interrupted():
        _train(ledger, assignment)
    while (new := ledger.next()) is not None:
        _train(ledger, new)


def _content(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """Return the content of the ledger, without times."""
    return {
        name: [(t.number, t.state.name, t.params, t.values, t.intermediate_values, t.user_attrs) for t in cell.trials()]
        for name, cell in ledger.cells.items()
    }


@pytest.fixture
def spec(make_spec: MakeSpec) -> Callable[..., StudySpec]:
    def make(**search: Any) -> StudySpec:
        training = {"epochs": EPOCHS, "lr": 0.05}
        return make_spec(methods=METHODS, training=training, search=_search(**search))

    return make


def test_the_first_trial_of_every_cell_is_the_papers_setting(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec())
    for _ in METHODS:
        assignment = ledger.next()
        assert assignment is not None
        assert assignment.number == 0
        assert assignment.params == pytest.approx(assignment.cell.preset_params())
        assert assignment.cell.trial(assignment.params, 0).training == assignment.cell.base.training
        assert ledger.of(assignment).trials()[0].user_attrs["param_source"] == "recommended"


def test_a_papers_value_outside_the_range_is_moved_to_its_end(make_spec: MakeSpec, open_ledger: OpenLedger) -> None:
    search = {"gamma": {"low": -50, "high": -5, "scale": "log"}, "variant": {"choices": ["official", "paper"]}}
    assignment = open_ledger(make_spec(methods=[{"name": "cce", "search": search}])).next()
    assert assignment is not None
    assert assignment.params == {"gamma": -5, "variant": "paper"}


def test_every_cell_gets_its_budget_and_none_runs_ahead(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec())
    handed: Counter[str] = Counter()
    while (assignment := ledger.next()) is not None:
        handed[assignment.cell.name] += 1
        assert max(handed.values()) - min(handed[name] for name in ledger.cells) <= 1
    assert set(handed.values()) == {7}
    assert ledger.next() is None


def test_trials_count_against_the_budget_however_they_end(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(trials=3))
    (cell, *_) = ledger.cells.values()
    endings: list[Callable[[int], None]] = [
        lambda n: cell.fail(n, "why"),
        lambda n: cell.prune(n),
        lambda n: cell.complete(n, 0.5),
    ]
    for end in endings:
        end(cell.ask().number)
    assert cell.started == 3
    assert cell.state_counts() == {"COMPLETE": 1, "PRUNED": 1, "FAIL": 1, "RUNNING": 0}
    assert ledger.remaining() == 6
    _finish(ledger)
    assert cell.started == 3
    assert ledger.remaining() == 0
    assert ledger.failed() == 1


@pytest.mark.parametrize("searcher", SEARCHERS)
def test_the_same_study_proposes_the_same_params_also_when_reopened_after_every_trial(
    searcher: str, spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    study = spec(searcher=searcher, pruner={"name": "median", "startup_trials": 2})
    places = [tmp_path / name for name in ("once", "again", "reopened")]
    for place in places:
        place.mkdir()
    for place in places[:2]:
        _finish(open_ledger(study, place))
    while (assignment := (ledger := open_ledger(study, places[2])).next()) is not None:
        _train(ledger, assignment)
    once, again, reopened = (_content(open_ledger(study, place)) for place in places)
    assert once == again == reopened
    values = [trial[2] for trials in once.values() for trial in trials]
    assert len({repr(value) for value in values}) == len(values)


@pytest.mark.parametrize(
    ("searcher", "every"),
    [
        *[(name, 13) for name in ("tpe", "random", "qmc")],
        *[pytest.param(name, 1, marks=[pytest.mark.slow, LONG]) for name in ("tpe", "random", "qmc")],
        pytest.param("gp", 29, marks=[pytest.mark.slow, LONG]),
    ],
)
@pytest.mark.parametrize("pruner", ["median", "successive-halving"])
def test_killed_after_any_write_it_ends_as_if_undisturbed(
    searcher: str, pruner: str, every: int, make_spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    study = make_spec(
        methods=["ldam", "ldam-drw"],
        training={"epochs": EPOCHS},
        search=_search(searcher=searcher, pruner={"name": pruner, "startup_trials": 1, "reduction_factor": 2}),
    )
    _compare_with_undisturbed(study, every, open_ledger, tmp_path)


@pytest.mark.parametrize("every", [97, pytest.param(5, marks=[pytest.mark.slow, LONG])])
def test_killed_after_any_write_the_model_over_all_ratios_says_the_same(
    every: int, make_spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    study = make_spec(
        methods=["ldam-drw"],
        data=[{"dataset": "digits", "profiles": [{"ratio": [5, 10, 20]}]}],
        training={"epochs": EPOCHS},
        search=_search(searcher="ratio-gp", pruner={"name": "ratio-gp", "least_chance": 0.3}),
    )
    _compare_with_undisturbed(study, every, open_ledger, tmp_path)


def _compare_with_undisturbed(study: StudySpec, every: int, open_ledger: OpenLedger, tmp_path: Path) -> None:
    """Cut the journal in the middle of a write, finish the study and compare it; for each ``every``-th write."""
    whole = tmp_path / "whole"
    whole.mkdir()
    _finish(open_ledger(study, whole))
    expected = _content(open_ledger(study, whole))
    assert {"COMPLETE", "PRUNED"} == {trial[1] for trials in expected.values() for trial in trials}
    lines = (whole / "ledger.journal").read_bytes().splitlines(keepends=True)
    killed = tmp_path / "killed"
    for count in range(0, len(lines), every):
        killed.mkdir()
        torn = lines[count][: len(lines[count]) // 2]
        (killed / "ledger.journal").write_bytes(b"".join(lines[:count]) + torn)
        _finish(open_ledger(study, killed))
        assert _content(open_ledger(study, killed)) == expected, f"after {count} of {len(lines)} writes"
        shutil.rmtree(killed)


def test_values_cut_off_while_they_were_drawn_are_completed(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec())
    cell = ledger.cells["digits/long_tail-10/ldam-drw"]
    _train(ledger, cell.ask())
    cell._study.ask()  # the driver dies here, before any value is drawn
    (assignment,) = open_ledger(spec()).interrupted()
    assert assignment.number == 1
    assert set(assignment.params) == set(cell.cell.space)
    (again,) = open_ledger(spec()).interrupted()
    assert again == assignment


def test_interrupted_trials_of_every_cell_are_found(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec())
    started = [ledger.next() for _ in range(4)]
    assert started[0] is not None
    _train(ledger, started[0])
    assert open_ledger(spec()).interrupted() == sorted(
        (a for a in started[1:] if a is not None), key=lambda a: (METHODS.index(a.cell.method), a.number)
    )


def test_reports_are_kept_and_repeated_ones_change_nothing(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    cell = next(iter(open_ledger(spec()).cells.values()))
    number = cell.ask().number
    for epoch, value in [(1, 0.1), (2, 0.2), (1, 0.9), (2, 0.9), (3, 0.3)]:
        assert cell.report(number, epoch, value) is False
    assert cell.trials()[number].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}


def test_a_pruned_trial_is_pruned_and_keeps_its_values(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    cell = next(iter(open_ledger(spec()).cells.values()))
    number = cell.ask().number
    cell.report(number, 1, 0.1)
    cell.report(number, 2, 0.2)
    cell.prune(number)
    trial = next(iter(open_ledger(spec()).cells.values())).trials()[number]
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {1: 0.1, 2: 0.2}
    assert cell.best() is None


def test_nan_is_a_failure_with_its_reason(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    cell = next(iter(open_ledger(spec()).cells.values()))
    number = cell.ask().number
    assert cell.report(number, 1, math.nan) is False
    cell.complete(number, math.nan)
    trial = cell.trials()[number]
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["reason"] == "balanced_accuracy is not a number at the end"
    assert trial.intermediate_values == {}


def test_an_end_is_final(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    cell = next(iter(open_ledger(spec()).cells.values()))
    number = cell.ask().number
    cell.complete(number, 0.5)
    cell.prune(number)
    cell.fail(number, "too late")
    cell.complete(number, 0.9)
    trial = cell.trials()[number]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)
    assert "reason" not in trial.user_attrs


@pytest.mark.parametrize(("metric", "best"), [("balanced_accuracy", 0.9), ("loss", 0.1)])
def test_the_best_trial_follows_the_metrics_direction(
    metric: str, best: float, spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    cell = next(iter(open_ledger(spec(metric=metric)).cells.values()))
    for value in (0.5, 0.9, 0.1):
        cell.complete(cell.ask().number, value)
    found = cell.best()
    assert found is not None
    assert found.value == best


@pytest.mark.parametrize(("pruner", "later_stops"), [("median", [3, 4, 5]), ("successive-halving", [4])])
def test_only_epochs_after_the_last_switch_and_not_seen_before_are_judged(
    pruner: str, later_stops: list[int], make_spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    early = {"name": "ldam-drw", "params": {"defer_until": 0.2}}
    study = make_spec(
        methods=[early],
        training={"epochs": EPOCHS},
        search=_search(pruner={"name": pruner, "startup_trials": 1, "warmup_epochs": 1}),
    )
    ledger = open_ledger(study)
    (cell,) = ledger.cells.values()
    assert cell.cell.pruning_start_epoch == 1
    good = cell.ask()
    for epoch in range(1, EPOCHS + 1):
        assert not cell.report(good.number, epoch, 0.9)
    cell.complete(good.number, 0.9)
    bad = cell.ask().number
    assert cell.report(bad, 1, 0.1) is False
    assert cell.report(bad, 2, 0.1) is True
    assert cell.report(bad, 1, 0.1) is False  # an earlier epoch repeated after a resume
    assert cell.report(bad, 2, 0.1) is True  # the newest repeated: the same decision
    assert [epoch for epoch in range(3, 6) if cell.report(bad, epoch, 0.1)] == later_stops


@pytest.mark.parametrize("pruner", ["median", "percentile", "successive-halving"])
def test_judgements_are_the_same_in_a_ledger_that_was_reopened(
    pruner: str, make_spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    search = _search(trials=9, pruner={"name": pruner, "startup_trials": 1, "reduction_factor": 2})
    study = make_spec(methods=["cce"], training={"epochs": EPOCHS}, search=search)

    def judgements(folder: Path, *, reopen: bool) -> list[tuple[int, int, bool]]:
        folder.mkdir()
        ledger, found = open_ledger(study, folder), []
        while (assignment := ledger.next()) is not None:
            for epoch in range(1, EPOCHS + 1):
                ledger = open_ledger(study, folder) if reopen else ledger
                stop = ledger.of(assignment).report(assignment.number, epoch, _curve(assignment, epoch))
                found.append((assignment.number, epoch, stop))
                if stop:
                    break
            cell = ledger.of(assignment)
            cell.prune(assignment.number) if stop else cell.complete(assignment.number, _curve(assignment, EPOCHS))
        return found

    once = judgements(tmp_path / "once", reopen=False)
    assert {stop for *_, stop in once} == {True, False}
    assert judgements(tmp_path / "reopened", reopen=True) == once


def test_remaining_epochs_count_what_running_trials_did(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(trials=2))
    assert ledger.remaining_epochs() == 3 * 2 * EPOCHS
    assignment = ledger.next()
    assert assignment is not None
    ledger.of(assignment).report(assignment.number, 1, 0.1)
    ledger.of(assignment).report(assignment.number, 2, 0.1)
    assert ledger.remaining_epochs() == 3 * 2 * EPOCHS - 2
    _finish(ledger)
    assert ledger.remaining_epochs() == 0


def test_a_larger_budget_goes_on_where_the_smaller_ended(
    spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    raised, at_once = tmp_path / "raised", tmp_path / "at-once"
    raised.mkdir()
    at_once.mkdir()
    _finish(open_ledger(spec(trials=3), raised))
    ledger = open_ledger(spec(trials=6), raised)
    assert ledger.remaining() == 9
    _finish(ledger)
    # fair cell by cell: three and three more are the same trials as six
    _finish(open_ledger(spec(trials=6), at_once))
    assert _content(ledger) == _content(open_ledger(spec(trials=6), at_once))


def test_natural_params_are_stored_once_exactly_and_after_a_kill_before_their_write(
    make_spec: Callable[..., StudySpec], tmp_path: Path
) -> None:
    study = make_spec(methods=["drw"])
    (cell,) = expand(study)
    ledger = Ledger(study, [cell], open_storage(tmp_path, None))
    first, second = ledger.next(), ledger.next()
    assert first is not None and second is not None
    trials = ledger.cells[cell.name].trials()
    assert trials[0].user_attrs["params"] == first.params == cell.preset_params()
    assert trials[1].user_attrs["params"] == second.params
    lines = (tmp_path / "ledger.journal").read_bytes().splitlines(keepends=True)
    assert b'"params"' in lines[-1]
    (tmp_path / "ledger.journal").write_bytes(b"".join(lines[:-1]))
    again = Ledger(study, [cell], open_storage(tmp_path, None))
    assert "params" not in again.cells[cell.name].trials()[1].user_attrs
    assert again.interrupted() == [first, second]
    assert again.cells[cell.name].trials()[1].user_attrs["params"] == second.params
