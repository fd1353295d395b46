from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.encoding import same_params
from study.driver.changed_settings import refuse_changes
from study.driver.trial_manager import TrialManager
from study.ledger.cell_ledger import Assignment
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.confirmed_settings import CONFIRM, check_confirmation, seeds_of, settings_of
from study.spec.study_spec import StudySpec
from trainables.core.errors import BadInput
from trainables.core.metric_names import METRICS
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_report import EpochDone

MakeSpec = Callable[..., StudySpec]
OpenLedger = Callable[..., Ledger]
EPOCHS, TRIALS, SEEDS = 3, 3, 2
LR = {"lr": {"low": 0.005, "high": 0.5, "scale": "log"}}
FIRST_SEED = 10_000


@pytest.fixture
def spec(make_spec: MakeSpec) -> MakeSpec:
    def make(*overrides: str, **changes: Any) -> StudySpec:
        given = {
            "methods": ["erm", "cce"],
            "training": {"epochs": EPOCHS, "lr": 0.05},
            "search": {"trials": TRIALS, "pruner": "none", "training": LR},
            "confirm": {"seeds": SEEDS},
            "seed": 4,
        }
        return make_spec(*overrides, **{**given, **changes})

    return make


def _value(assignment: Assignment) -> float:
    """Return the value of a simulated training; the preset's is the lowest."""
    text = repr((assignment.place, sorted(assignment.params.items()), assignment.seed))
    return 0.1 + hashlib.sha256(text.encode()).digest()[0] / 255 if assignment.number or assignment.confirms else 0.05


def _train(ledger: Ledger, assignment: Assignment) -> None:
    cell = ledger.of(assignment)
    for epoch in range(1, EPOCHS + 1):
        assert not cell.report(assignment.number, epoch, _value(assignment))
    if assignment.confirms:  # what a race looks at
        value = {name: _value(assignment) for name in METRICS}
        cell.note_end(assignment.number, {"epoch": EPOCHS, **value}, tested=value)
    cell.complete(assignment.number, _value(assignment))


def _finish(ledger: Ledger) -> list[Assignment]:
    handed = [*ledger.interrupted()]
    for assignment in handed:
        _train(ledger, assignment)
    while (new := ledger.next()) is not None:
        _train(ledger, new)
        handed.append(new)
    return handed


def _content(ledger: Ledger) -> dict[str, list[Any]]:
    return {
        place: [(t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs) for t in cell.trials()]
        for place, cell in ledger.places.items()
    }


def _confirming(handed: list[Assignment]) -> list[tuple[str, int | None, bool]]:
    """Return method, seed and is-preset of every confirmation trial, in order."""
    return [(a.cell.method, a.seed, a.params == a.cell.preset_params()) for a in handed if a.confirms]


def test_without_it_nothing_is_confirmed(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(confirm=None))
    assert not _confirming(_finish(ledger))
    assert list(ledger.places) == list(ledger.cells)
    assert (ledger.remaining(), ledger.total()) == (0, 2 * TRIALS)


def test_best_and_preset_are_trained_with_the_same_seeds_seed_after_seed(
    spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    ledger = open_ledger(spec())
    assert (ledger.remaining(), ledger.total()) == (14, 14)
    handed = _finish(ledger)
    assert [a.confirms for a in handed] == [False] * 6 + [True] * 8
    one_seed = [("erm", False), ("erm", True), ("cce", False), ("cce", True)]
    seeds = [FIRST_SEED + 4, FIRST_SEED + 5]
    assert _confirming(handed) == [(method, seed, preset) for seed in seeds for method, preset in one_seed]
    for name, cell in ledger.cells.items():
        best = cell.best()
        assert best is not None and best.number > 0
        assert len(cell.trials()) == TRIALS  # the search does not see the others
        trials = ledger.places[f"{name}/{CONFIRM}"].trials()
        assert [trial.user_attrs["param_source"] for trial in trials] == ["best", "preset"] * 2
    assert (ledger.remaining(), ledger.total(), ledger.failed()) == (0, 14, 0)


def test_what_a_trial_that_confirms_is_trained_with(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    handed = [a for a in _finish(open_ledger(spec())) if a.confirms]
    preset = next(a for a in handed if a.params == a.cell.preset_params())
    assert preset.config == preset.cell.base.model_copy(update={"seed": FIRST_SEED + 4, "method": preset.config.method})
    assert preset.key == f"{preset.cell.name}/confirm/{preset.number:05d}"
    best = next(a for a in handed if a.cell == preset.cell and a.params != preset.params)
    assert best.config.training.lr == best.params["training.lr"]


def test_the_seeds_are_of_no_trial_of_a_search(make_spec: MakeSpec) -> None:
    spec = make_spec(methods=["erm"], confirm={"seeds": 3}, seed=7)
    (cell,) = expand(spec)
    searched = {cell.trial({}, number).seed for number in range(spec.search.trials)}
    assert seeds_of(spec) == [10_007, 10_008, 10_009]
    assert not searched & set(seeds_of(spec))


def test_it_waits_for_the_last_trial_of_the_search_to_end(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec())
    handed = [a for a in (ledger.next() for _ in range(2 * TRIALS)) if a is not None]
    assert ledger.next() is None
    for assignment in handed:
        assert ledger.next() is None
        _train(ledger, assignment)
    new = ledger.next()
    assert new is not None and new.confirms


def test_a_cell_in_which_nothing_is_searched_has_one_setting(make_spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(make_spec(methods=["erm"], search={"trials": 2, "pruner": "none"}, confirm={"seeds": 3}))
    assert ledger.total() == 5
    handed = [a for a in _finish(ledger) if a.confirms]
    assert [a.seed for a in handed] == [10_000, 10_001, 10_002]
    assert {t.user_attrs["param_source"] for t in ledger.of(handed[0]).trials()} == {"best and preset"}


def test_a_preset_that_is_the_best_is_trained_once(spec: MakeSpec) -> None:
    (cell,) = expand(spec(methods=["ldam-drw"]))
    (setting,) = settings_of(cell, {**cell.preset_params(), "beta": 1 - (1 - cell.preset_params()["beta"])})
    assert setting.names == ("best", "preset")
    assert [s.names for s in settings_of(cell, {**cell.preset_params(), "beta": 0.99})] == [("best",), ("preset",)]
    assert [s.names for s in settings_of(cell, None)] == [("preset",)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 0.1 + 0.2}, {"a": 0.3}, False),
        ({"a": 0.3}, {"a": 0.3001}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": "x"}, {"a": "x"}, True),
        ({"a": "x"}, {"a": "y"}, False),
    ],
)
def test_settings_that_are_the_same(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert same_params(one, other) is same


def test_where_every_trial_failed_the_preset_is_confirmed(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(methods=["cce"]))
    for _ in range(TRIALS):
        assignment = ledger.next()
        assert assignment is not None
        ledger.of(assignment).fail(assignment.number, "diverged")
    assert _confirming(_finish(ledger)) == [("cce", FIRST_SEED + 4, True), ("cce", FIRST_SEED + 5, True)]


def test_one_that_fails_is_not_tried_for_ever(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(methods=["cce"]))
    while (new := ledger.next()) is not None:
        ledger.of(new).fail(new.number, "diverged") if new.confirms else _train(ledger, new)
    assert (ledger.remaining(), ledger.failed()) == (0, 2 * SEEDS)


def test_killed_after_any_write_it_ends_as_if_undisturbed(
    spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    study, whole, killed = spec(), tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    _finish(open_ledger(study, whole))
    expected = _content(open_ledger(study, whole))
    lines = (whole / "ledger.journal").read_bytes().splitlines(keepends=True)
    for count in range(0, len(lines), 3):
        killed.mkdir()
        (killed / "ledger.journal").write_bytes(b"".join(lines[:count]) + lines[count][: len(lines[count]) // 2])
        _finish(open_ledger(study, killed))
        assert _content(open_ledger(study, killed)) == expected, f"after {count} of {len(lines)} writes"
        shutil.rmtree(killed)


RACE = {"seeds": SEEDS, "race": {"at_most": 6}}


def test_a_race_adds_seeds_to_what_is_undecided_alone(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(confirm=RACE))
    assert not ledger.total_is_exact()
    handed = _confirming(_finish(ledger))
    # the simulated results are noise: no seed decides between the two methods, and presets do not race
    assert Counter((method, preset) for method, _, preset in handed) == {
        ("erm", False): 6,
        ("cce", False): 6,
        ("erm", True): SEEDS,
        ("cce", True): SEEDS,
    }
    assert [seed for _, seed, _ in handed] == sorted(seed or 0 for _, seed, _ in handed)
    assert (ledger.remaining(), ledger.total(), ledger.total_is_exact()) == (0, 6 + len(handed), True)


def test_a_race_that_is_decided_adds_nothing(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    study = spec(confirm={"seeds": 3, "race": {"at_most": 30, "margin": 1}})  # everything is the same within 1
    assert {seed for _, seed, _ in _confirming(_finish(open_ledger(study)))} <= set(range(10_004, 10_013))


def test_a_race_waits_for_the_running_trials_of_its_table(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(confirm=RACE))
    while (first := ledger.next()) is not None and not first.confirms:
        _train(ledger, first)
    running = [first, *iter(ledger.next, None)]
    assert len(running) == 4 * SEEDS
    for trial in running[:-1]:
        assert trial is not None
        _train(ledger, trial)
        assert ledger.next() is None
    assert running[-1] is not None and ledger.remaining() == 2 * (6 + SEEDS) - (len(running) - 1)  # an upper bound
    assert not ledger.total_is_exact()
    _train(ledger, running[-1])
    third = ledger.next()
    assert third is not None and third.seed == seeds_of(spec(confirm=RACE))[SEEDS]


def test_a_killed_race_ends_as_if_undisturbed(spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path) -> None:
    study, whole, killed = spec(confirm=RACE), tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    _finish(open_ledger(study, whole))
    expected = _content(open_ledger(study, whole))
    lines = (whole / "ledger.journal").read_bytes().splitlines(keepends=True)
    for count in range(0, len(lines), 17):
        killed.mkdir()
        (killed / "ledger.journal").write_bytes(b"".join(lines[:count]) + lines[count][: len(lines[count]) // 2])
        _finish(open_ledger(study, killed))
        assert _content(open_ledger(study, killed)) == expected, f"after {count} of {len(lines)} writes"
        shutil.rmtree(killed)


def test_a_race_is_not_changed_once_it_is_planned(spec: MakeSpec) -> None:
    planned = spec(confirm=RACE)
    check_confirmation(spec(confirm=None), planned)
    check_confirmation(planned, planned)
    for changed in (spec(confirm={**RACE, "race": {"at_most": 7}}), spec(), spec(confirm={**RACE, "seeds": 3})):
        with pytest.raises(BadInput, match="test results may be known"):
            check_confirmation(planned, changed)
    with pytest.raises(BadInput, match=r"confirm.race=.*at_most.*: must stay null"):
        check_confirmation(spec(), planned)


def test_more_seeds_and_later_ones_leave_the_first_as_they_are(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    _finish(open_ledger(spec(confirm=None)))
    first = [*_confirming(_finish(open_ledger(spec())))]
    before = _content(open_ledger(spec()))
    more = _confirming(_finish(open_ledger(spec("confirm.seeds=3"))))
    assert {seed for _, seed, _ in more} == {FIRST_SEED + 6}
    assert len(first) == 8 and len(more) == 4
    after = _content(open_ledger(spec("confirm.seeds=3")))
    assert all(after[place][: len(trials)] == trials for place, trials in before.items())


def test_a_larger_budget_confirms_the_new_best_alone_and_only_after_its_search(
    spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    study = spec(methods=["cce"])
    _finish(open_ledger(study))
    larger = open_ledger(spec("search.trials=4", methods=["cce"]))
    new = larger.next()
    assert new is not None and not new.confirms
    larger.of(new).complete(new.number, 2.0)
    assert larger.remaining() == SEEDS
    handed = _finish(larger)
    assert [(a.confirms, a.params) for a in handed] == [(True, new.params)] * SEEDS
    assert larger.total() == 4 + 3 * SEEDS


def test_interrupted_ones_wait_for_a_larger_search_too(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(methods=["cce"]))
    while (begun := ledger.next()) is not None and not begun.confirms:
        _train(ledger, begun)
    larger = open_ledger(spec("search.trials=4", methods=["cce"]))
    assert larger.interrupted() == []
    new = larger.next()
    assert new is not None and not new.confirms
    _train(larger, new)
    assert larger.next() == begun


def test_of_several_metrics_the_named_one_says_what_is_best(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    search = {"trials": 3, "metric": ["many", "few"], "training": LR}
    for metric, expected in ((None, 1), ("many", 1), ("few", 2)):
        ledger = open_ledger(spec(methods=["erm"], search=search, confirm={"seeds": 1, "metric": metric}))
        (cell,) = ledger.cells.values()
        for values in [(0.5, 0.5), (0.9, 0.1), (0.1, 0.9)][cell.started :]:
            cell.complete(cell.ask().number, *values)
        best = next(ledger.confirmation._wanted())[1]
        assert best.params["training.lr"] == pytest.approx(cell.trials()[expected].params["training.lr"])


def _manager(ledger: Ledger, folder: Path) -> TrialManager:
    return TrialManager(ledger, folder, listener=lambda *given: None)


def _run(manager: TrialManager, runner_id: str, value: float = 0.5) -> None:
    manager.end(runner_id, EpochDone({"epoch": EPOCHS, "balanced_accuracy": value}, finished=True), failed=False)


def test_the_manager_hands_them_out_after_the_search_and_they_alone_see_the_test_images(
    spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    manager = _manager(open_ledger(spec(methods=["cce"])), tmp_path)
    tasks = []
    for number in range(TRIALS):
        tasks.append(manager.start(str(number)))
        assert manager.start("none yet") is None if number == TRIALS - 1 else True
    assert manager.busy
    for number in range(TRIALS):
        _run(manager, str(number), number / 10)
    while (task := manager.start("c")) is not None:
        tasks.append(task)
        _run(manager, "c")
    assert [task and task.evaluate_test for task in tasks] == [False] * TRIALS + [True] * 4
    assert tasks[-1] is not None
    assert tasks[-1].folder == tmp_path / "cells/digits/long_tail-10/cce/confirm/00003"
    assert tasks[-1].trial.seed == FIRST_SEED + 5


@pytest.mark.parametrize("tested", [False, True])
def test_one_that_was_trained_but_not_tested_is_handed_out_again(
    tested: bool, spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path
) -> None:
    study = spec(methods=["cce"])
    ledger = open_ledger(study)
    while ledger.search_remaining():
        assignment = ledger.next()
        assert assignment is not None
        _train(ledger, assignment)
    task = _manager(ledger, tmp_path).start("killed")
    assert task is not None
    folder = TrialFolder(task.folder)
    folder.write_config({})
    for epoch in range(1, EPOCHS + 1):
        folder.append_epoch({"epoch": epoch, "balanced_accuracy": 0.7})
    if tested:
        folder.write_test({"metrics": {}})
    after = open_ledger(study)
    again = _manager(after, tmp_path).start("a")
    first = after.places[f"{next(iter(after.cells))}/{CONFIRM}"].trials()[0]
    assert (again == task) is not tested
    assert first.state.name == ("COMPLETE" if tested else "RUNNING")
    assert first.intermediate_values == dict.fromkeys(range(1, EPOCHS + 1), 0.7)


@pytest.mark.parametrize(
    ("methods", "shared"),
    [
        (["ldam-drw"], [False, False]),  # other margins, other rates: nothing in common
        ([{"name": "ldam-drw", "label": "a"}, {"name": "ldam-drw", "label": "b"}], [False, True, False, True]),
        (["erm"], [False, False]),  # a single stage opens nothing
    ],
)
def test_equal_openings_are_shared(
    methods: list[Any], shared: list[bool], spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    ledger = open_ledger(spec(methods=methods, confirm={"seeds": 1}))
    handed = [a for a in _finish(ledger) if a.confirms]
    assert [ledger.confirmation.shares_prefix(a) for a in handed] == shared


@pytest.mark.parametrize(
    ("confirm", "said"),
    [
        ({"seeds": 0}, "confirm.seeds: must be greater than or equal to 1, got 0"),
        ({"seeds": 1, "race": {}}, "`seeds` must be at least 2 with `race`, got 1"),
        ({"seeds": 9, "race": {"at_most": 5}}, "`race.at_most` must be at least `seeds` = 9, got 5"),
        ({"race": {"compare": "preset"}}, "confirm.race.compare: must be 'baseline', 'best' or 'all'"),
        ({"seeds": True}, "confirm: `seeds` must not be true or false"),
        ({"seed": 3}, "confirm: unknown key 'seed'; did you mean 'seeds'?"),
        ({"metric": "few"}, "unknown searched metric under confirm.metric: 'few'. Allowed: balanced_accuracy"),
        (5, "confirm: must be a valid dictionary"),
    ],
)
def test_bad_confirmations_are_refused(confirm: Any, said: str, make_spec: MakeSpec) -> None:
    with pytest.raises(BadInput) as caught:
        make_spec(confirm=confirm)
    assert said in str(caught.value)


def test_a_resume_may_add_it_and_raise_its_seeds_and_nothing_else(spec: MakeSpec) -> None:
    refuse_changes(spec(confirm=None), spec("confirm.seeds=3"))
    refuse_changes(spec("confirm.seeds=2"), spec("confirm.seeds=3"))
    for after, said in (
        (spec("confirm.seeds=1"), "confirm.seeds=1: must be at least 2, as before"),
        (spec(confirm=None), "confirm.seeds=0: must be at least 2"),
        (spec("confirm.metric=balanced_accuracy"), "confirm.metric=balanced_accuracy: must stay None"),
    ):
        with pytest.raises(BadInput, match=said):
            check_confirmation(spec("confirm.seeds=2"), after)
