from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.driver.changed_settings import refuse_changes
from study.ledger.cell_ledger import Assignment
from study.ledger.study_ledger import Ledger
from study.report.status import overview
from study.search.budget import count_trials, stalled
from study.spec.objectives import Ranking
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.study.simulated import EPOCHS, ends_the_same_killed_after_any_write, finish, train
from trainables.core.errors import BadInput
from trainables.core.trial_report import SharedEpochs

MakeSpec = Callable[..., StudySpec]
OpenLedger = Callable[..., Ledger]
LR = {"lr": {"low": 0.005, "high": 0.5, "scale": "log"}}


@pytest.fixture
def spec(make_spec: MakeSpec) -> MakeSpec:
    def make(*, ratios: tuple[float, ...] = (10, 50), methods: Any = ("erm", "cce"), **search: Any) -> StudySpec:
        return make_spec(
            data=[{"dataset": "digits", "profiles": [{"ratio": list(ratios)}]}],
            methods=list(methods),
            training={"epochs": EPOCHS},
            search={"trials": 5, "pruner": "none", "searcher": "random", "training": LR, **search},
        )

    return make


def _counts(handed: list[Assignment]) -> dict[str, int]:
    return dict(Counter(assignment.cell.name for assignment in handed))


# turns


def test_an_order_by_ratio_gives_every_cell_its_first_trial_before_any_a_second(
    spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    handed = finish(open_ledger(spec(ratios=(50, 10, 100), order="ratio-ascending")))
    assert {a.number for a in handed[:6]} == {0}
    assert [a.cell.ratio for a in handed[:6]] == [10, 10, 50, 50, 100, 100]
    assert [a.cell.ratio for a in handed[6:]] == [10] * 8 + [50] * 8 + [100] * 8
    assert [a.cell.method for a in handed[6:14]] == ["erm", "cce"] * 4  # methods alike within a ratio


def test_the_other_way_round(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    handed = finish(open_ledger(spec(order="ratio-descending")))
    assert [a.cell.ratio for a in handed] == [50, 50, 10, 10] + [50] * 8 + [10] * 8


def test_in_an_order_by_ratio_no_cell_takes_anothers_part_of_the_epochs(
    spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    handed = finish(open_ledger(spec(order="ratio-ascending", epochs_total=4 * 3 * EPOCHS)))
    assert set(_counts(handed).values()) == {3}


def test_cells_that_are_done_free_their_part(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    choice = [{"name": "cce", "label": "few", "search": {"variant": {"choices": ["paper", "official"]}}}, "cce"]
    study = spec(ratios=(10,), methods=choice, training={}, searcher="grid", grid_points=9, epochs_total=9 * EPOCHS)
    study = study.model_copy(update={"search": study.search.model_copy(update={"trials": 20, "training": {}})})
    assert _counts(finish(open_ledger(study))) == {"digits/long_tail-10/few": 2, "digits/long_tail-10/cce": 7}


def test_a_cell_has_no_more_trials_at_a_time_than_its_cap(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(cell_concurrency=1, order="ratio-ascending"))
    running = [ledger.next() for _ in range(5)]
    assert running[4] is None
    assert ledger.remaining() == 20
    assert len({a.cell.name for a in running[:4] if a is not None}) == 4
    assert running[1] is not None
    train(ledger, running[1])
    again = ledger.next()
    assert again is not None and again.cell == running[1].cell
    assert ledger.next() is None
    assert open_ledger(spec(cell_concurrency=2)).next() is not None


# trained epochs


def test_the_epochs_of_the_whole_study_are_never_exceeded(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    handed = finish(open_ledger(spec(epochs_total=7 * EPOCHS - 1)))
    assert len(handed) == 6
    assert max(_counts(handed).values()) - min(_counts(handed).values()) == 1


def test_running_trials_are_counted_with_all_that_they_may_train(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(epochs_total=2 * EPOCHS))
    first, second = ledger.next(), ledger.next()
    assert first is not None and second is not None
    assert ledger.next() is None
    assert ledger.remaining() == 2
    ledger.of(first).report(first.number, 1, 0.1)
    assert ledger.next() is None
    ledger.of(first).prune(first.number)  # one epoch trained: not a whole trial is left
    assert ledger.next() is None
    train(ledger, second)
    assert ledger.remaining() == 0
    assert "search.epochs_total=8" in ledger.why_finished()


def test_what_a_stopped_trial_spares_starts_another(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(epochs_total=2 * EPOCHS + 1))
    for _ in range(2):
        trial = ledger.next()
        assert trial is not None
        ledger.of(trial).report(trial.number, 1, 0.1)
        ledger.of(trial).prune(trial.number)
    assert len(finish(ledger)) == 1


@pytest.mark.parametrize(
    ("shared", "spent"),
    [
        (None, 4),
        (SharedEpochs(3, 3, 3), 4),  # it trained its opening itself
        (SharedEpochs(3, 3, 0), 1),  # another had
        (SharedEpochs(0, 4, 4), 8),  # a reference besides
        (SharedEpochs(3, 3, 1), 2),
    ],
)
@pytest.mark.parametrize("ended", [True, False])
def test_shared_epochs_count_once(
    shared: SharedEpochs | None, spent: int, ended: bool, spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    ledger = open_ledger(spec())
    trial = ledger.next()
    assert trial is not None
    cell = ledger.of(trial)
    adopted = 0
    if shared is not None:
        cell.note_shared(trial.number, shared)
        adopted = shared.adopted
    for epoch in range(adopted + 1, EPOCHS + 1):
        cell.report(trial.number, epoch, 0.1)
    if ended:
        cell.complete(trial.number, 0.1)
    assert cell.trial_counts().epochs == (spent if ended else max(spent, EPOCHS))


@pytest.mark.parametrize("search", [{}, {"budget": "epochs"}, {"stop_cell_after": 2}, {"searcher": "grid"}])
def test_counts_go_on_as_if_all_trials_were_counted_anew(
    search: dict[str, Any], spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    ledger, chance = open_ledger(spec(trials=12, **search)), random.Random(0)
    running: list[Assignment] = []

    def check() -> None:
        for cell in ledger.cells.values():
            assert cell.trial_counts() == count_trials(ledger.study, cell.cell, cell.trials())

    while True:
        trial = ledger.next() if len(running) < 4 else None
        if trial is not None:
            running.append(trial)
        elif not running:
            break
        check()
        trial = running.pop(chance.randrange(len(running)))
        cell = ledger.of(trial)
        if chance.random() < 0.3:
            cell.note_shared(trial.number, SharedEpochs(3, 1, 2))
            check()
        cell.report(trial.number, 2, chance.choice([0.1, 0.2]))
        check()
        value = chance.choice([0.1, 0.2, 0.3])  # the first of equal trials is the best, whichever ended first
        end = chance.choice([lambda n: cell.complete(n, value), cell.prune, lambda n: cell.fail(n, "diverged")])  # noqa: B023
        end(trial.number)
        check()
    assert ledger.remaining() == 0
    assert all(cell.trial_counts().ended for cell in ledger.cells.values())


# equal training time


def test_equal_epochs_give_cells_that_prune_more_trials(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(ratios=(10,), budget="epochs"))
    handed = []
    while (new := ledger.next()) is not None:
        handed.append(new)
        if new.cell.method == "cce":  # every trial is stopped after one of the four epochs
            ledger.of(new).report(new.number, 1, 0.1)
            ledger.of(new).prune(new.number)
        else:
            train(ledger, new)
    budget = 5 * EPOCHS
    assert _counts(handed) == {"digits/long_tail-10/erm": 5, "digits/long_tail-10/cce": budget - EPOCHS + 1}
    assert [counts.charged for counts in ledger.cell_counts()] == [budget, budget - EPOCHS + 1]
    assert ledger.remaining() == 0
    assert f"search.trials=5 x {EPOCHS} epochs a cell (search.budget=epochs)" in ledger.why_finished()


def test_one_searched_param_and_many_get_the_same_epochs(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(ratios=(10,), methods=("cce", "affinity"), budget="epochs", pruner="median"))
    finish(ledger)
    for counts in ledger.cell_counts():
        assert 4 * EPOCHS < counts.charged <= 5 * EPOCHS
        assert counts.charged == counts.epochs


def test_no_trial_starts_beside_running_ones_that_might_need_its_epochs(
    spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    ledger = open_ledger(spec(ratios=(10,), methods=("cce",), trials=2, budget="epochs"))
    first, second = ledger.next(), ledger.next()
    assert first is not None and second is not None
    assert ledger.next() is None
    ledger.of(first).report(first.number, 1, 0.1)
    assert ledger.next() is None
    ledger.of(first).prune(first.number)  # seven epochs are charged, less than a full trial is left
    assert ledger.next() is None
    ledger.of(second).report(second.number, 3, 0.1)
    ledger.of(second).prune(second.number)  # four epochs charged, four left
    third = ledger.next()
    assert third is not None
    train(ledger, third)
    (counts,) = ledger.cell_counts()
    assert (counts.charged, counts.remaining, ledger.remaining()) == (2 * EPOCHS, 0, 0)


@pytest.mark.parametrize("trained_by", [0, 1, None], ids=["first trial", "second trial", "another study"])
def test_a_shared_prefix_is_charged_once_whoever_trained_it(
    trained_by: int | None, spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    ledger = open_ledger(spec(ratios=(10,), methods=("drw",), training={}, budget="epochs"))
    handed = []
    while (new := ledger.next()) is not None:
        cell = ledger.of(new)
        cell.note_shared(new.number, SharedEpochs(3, 3, 3 if new.number == trained_by else 0))
        cell.report(new.number, EPOCHS, 0.1)
        cell.complete(new.number, 0.1)
        handed.append(new)
    (counts,) = ledger.cell_counts()
    assert counts.charged == 3 + len(handed)
    assert len(handed) == 14  # of 20 epochs: 3 once, then 1 each, while 4 are left


def test_a_reference_is_charged_once_or_for_every_learning_rate(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    for searched, trials, charged in (({}, 4, 5 * EPOCHS), (LR, 2, 4 * EPOCHS)):
        study = spec(ratios=(10,), methods=("m2m",), training=searched, budget="epochs")
        ledger = open_ledger(study.model_copy(update={"name": f"m2m-{trials}"}))
        handed = 0
        while (new := ledger.next()) is not None:
            train(ledger, new, 0.5)
            handed += 1
        assert (handed, ledger.cell_counts()[0].charged) == (trials, charged)


def test_a_failed_trial_is_charged_in_full(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(ratios=(10,), methods=("cce",), budget="epochs"))
    handed = 0
    while (new := ledger.next()) is not None:
        ledger.of(new).fail(new.number, "diverged at once")
        handed += 1
    assert handed == 5


def test_a_method_with_a_reference_needs_two_trials(spec: MakeSpec) -> None:
    with pytest.raises(BadInput, match=r"search\.trials: must be at least 2 with `budget: epochs`, got 1: .*m2m costs"):
        spec(methods=("m2m",), trials=1, budget="epochs")
    assert spec(methods=("erm",), trials=1, budget="epochs").search.budget == "epochs"
    with pytest.raises(BadInput, match=r"search\.budget: must be 'trials' or 'epochs'"):
        spec(budget="hours")


def test_in_the_fair_order_the_cell_with_the_fewest_epochs_is_next(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(ratios=(10,), budget="epochs"))
    order = []
    for _ in range(7):
        new = ledger.next()
        assert new is not None
        order.append(new.cell.method)
        if new.cell.method == "cce":
            ledger.of(new).report(new.number, 1, 0.1)
            ledger.of(new).prune(new.number)
        else:
            train(ledger, new)
    assert order == ["erm", "cce", "cce", "cce", "cce", "erm", "cce"]


# cells that do not improve


def _ended(*values: float | str) -> list[FrozenTrial]:
    """Trials in the order they ended: a number is complete, a letter is not."""
    trials, begin = [], datetime(2020, 1, 1)
    for number, value in enumerate(values):
        state = {"P": TrialState.PRUNED, "F": TrialState.FAIL}.get(str(value), TrialState.COMPLETE)
        trial = create_trial(state=state, value=None if isinstance(value, str) else value)
        trial.number, trial.datetime_complete = number, begin + timedelta(seconds=number)
        trials.append(trial)
    return trials


def _ranking(metric: str) -> Ranking[FrozenTrial]:
    return Ranking(metric, lambda trial: list(trial.values), lambda trial: trial.constraints)


@pytest.mark.parametrize(
    ("values", "after", "stops"),
    [
        ((), 2, False),
        ((0.5,), 1, False),  # nothing before it
        ((0.5, 0.4), 1, True),
        ((0.5, 0.5), 1, True),  # equal is no improvement
        ((0.5, 0.6), 1, False),
        ((0.5, 0.6, 0.1), 2, False),
        ((0.5, 0.6, 0.1, 0.2), 2, True),
        ((0.5, "P", "F"), 2, True),  # whatever their end
        ((0.5, "P"), 2, False),
        (("F", "F", "F"), 2, False),  # nothing to improve on
        (("F", "F", 0.1), 2, False),
    ],
)
@pytest.mark.parametrize("grows", [True, False])
def test_a_cell_is_given_up_when_its_last_trials_did_not_improve(
    values: tuple[Any, ...], after: int, stops: bool, grows: bool
) -> None:
    signed = [value if isinstance(value, str) or grows else -value for value in values]
    assert stalled(_ended(*signed), after, _ranking("accuracy" if grows else "loss")) is stops


def test_it_is_the_order_of_ends_that_counts() -> None:
    late_best, *others = _ended(0.9, 0.5, 0.4)
    assert stalled([late_best, *others], 1, _ranking("accuracy"))
    late_best.datetime_complete = datetime(2021, 1, 1)
    assert not stalled([late_best, *others], 1, _ranking("accuracy"))


def test_a_cell_that_is_given_up_leaves_the_others_theirs(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    study = spec(ratios=(10,), stop_cell_after=2)
    ledger = open_ledger(study)
    values = {"erm": 0.9, "cce": 0.0}
    handed = []
    while (new := ledger.next()) is not None:
        values["erm"], values["cce"] = values["erm"] - 0.1, values["cce"] + 0.1
        train(ledger, new, values[new.cell.method])
        handed.append(new)
    assert _counts(handed) == {"digits/long_tail-10/erm": 3, "digits/long_tail-10/cce": 5}
    assert ledger.remaining() == 0
    assert "search.stop_cell_after=2" in ledger.why_finished()
    raised = open_ledger(spec(ratios=(10,), stop_cell_after=4))
    assert raised.remaining() == 2
    assert raised.next() is not None


# resumes


@pytest.mark.parametrize(
    "search",
    [
        {"epochs_total": 31, "pruner": {"name": "median", "startup_trials": 1}},
        {"stop_cell_after": 2},
        {"order": "ratio-descending", "epochs_total": 50, "stop_cell_after": 3},
        {"pruner": {"name": "hyperband", "reduction_factor": 2}},
        {"budget": "epochs", "pruner": {"name": "median", "startup_trials": 1}},
        {"pruner": {"name": "threshold", "lower": 0.2, "patience": 1}},
    ],
)
def test_killed_after_any_write_it_ends_as_if_undisturbed(
    search: dict[str, Any], spec: MakeSpec, tmp_path: Path
) -> None:
    assert list(ends_the_same_killed_after_any_write(spec(**search), tmp_path, every=17))


@pytest.mark.parametrize(
    "change",
    [
        *("search.epochs_total=99", "search.epochs_total=null", "search.stop_cell_after=9"),
        *("search.cell_concurrency=2", "search.order=ratio-ascending"),
    ],
)
def test_limits_may_change_on_a_resume(change: str, make_spec: MakeSpec) -> None:
    refuse_changes(make_spec(), make_spec(change))


@pytest.mark.parametrize(
    "change",
    ["search.transfer=false", "search.warm_start=[other]", "search.grid_points=7", "search.budget=epochs"],
)
def test_what_values_come_from_may_not(change: str, make_spec: MakeSpec) -> None:
    with pytest.raises(BadInput, match="a resume may change only"):
        refuse_changes(make_spec(), make_spec(change))


@pytest.mark.parametrize("search", [{"epochs_total": 6 * EPOCHS}, {"stop_cell_after": 1}, {}, {"budget": "epochs"}])
def test_a_study_at_its_limits_is_finished_for_who_reads_it(
    search: dict[str, Any], spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    study = spec(**search)
    folder = StudyFolder(tmp_path, study.name)
    folder.path.mkdir()
    folder.create(study, {})
    ledger = open_ledger(study, folder.path)
    train(ledger, ledger.next() or pytest.fail("no trial"))
    assert open_view(folder).state == "interrupted"
    finish(ledger)
    assert open_view(folder).state == "finished"
    (line,) = overview(tmp_path)
    assert line["done"] == line["trials"] == sum(counts.ended for counts in ledger.cell_counts())
