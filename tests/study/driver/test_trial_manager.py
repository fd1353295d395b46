from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial

from study.driver.retries import Retries, cause_of
from study.driver.trial_manager import TrialManager
from study.ledger.cell_ledger import Assignment
from study.ledger.study_ledger import Ledger
from study.search.trial_params import ENDED_WITH
from study.spec.objectives import Bounds
from study.spec.search_spec import PrunerSpec
from study.spec.study_spec import StudySpec
from trainables.core.step_progress import StepProgress, StepProgressFile
from trainables.core.storage_path import storage_path
from trainables.core.trial_folder import TrialFolder
from trainables.core.trial_report import EpochDone, Failed, MachineFault, SharedEpochDone, TrialReport
from trainables.core.trial_task import TrialTask

EPOCHS = 3
PRUNER = {"name": "median", "startup_trials": 1}


class Desk:
    """A trial manager and what it told its listener."""

    def __init__(self, ledger: Ledger, folder: Path, deadline: float | None = None) -> None:
        self.told: list[tuple[str, bool]] = []
        self.said: list[str] = []
        self.ledger, self.folder = ledger, folder
        self.manager = TrialManager(ledger, folder, listener=self._listen, deadline=deadline, tell=self.said.append)

    def _listen(self, assignment: Assignment, ended: bool) -> None:
        self.told.append((assignment.key, ended))

    def trial(self, cell: int = 0, number: int = -1) -> FrozenTrial:
        return list(self.ledger.cells.values())[cell].trials()[number]


@pytest.fixture
def study(make_spec: Callable[..., StudySpec]) -> StudySpec:
    return make_spec(
        methods=["erm", "cce"],
        training={"epochs": EPOCHS},
        search={"trials": 3, "pruner": PRUNER, "training": {"lr": {"low": 0.01, "high": 1}}},
        resources={"retries": 1},
    )


@pytest.fixture
def desk(study: StudySpec, open_ledger: Callable[..., Ledger], tmp_path: Path) -> Callable[..., Desk]:
    """Open the study's trial manager anew, as a driver that starts does."""

    def make(deadline: float | None = None) -> Desk:
        return Desk(open_ledger(study), tmp_path, deadline)

    return make


def _done(epoch: int, value: float = 0.5) -> EpochDone:
    return EpochDone({"epoch": epoch, "balanced_accuracy": value}, finished=epoch == EPOCHS)


def _write_epochs(folder: str | Path, values: list[float]) -> None:
    files = TrialFolder(Path(folder))
    files.write_config({})
    for epoch, value in enumerate(values, 1):
        files.append_epoch({"epoch": epoch, "balanced_accuracy": value})


def _run(desk: Desk, runner_id: str, value: float = 0.5) -> None:
    """Train a trial to its end, as Tune would: the scheduler is not asked about the last result."""
    for epoch in range(1, EPOCHS):
        desk.manager.report(runner_id, _done(epoch, value))
    desk.manager.end(runner_id, _done(EPOCHS, value), failed=False)


def _write_steps(folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the progress of a trial's process after ``step`` of 90 steps."""
    monkeypatch.setattr("trainables.core.step_progress.WRITTEN_EVERY", 0.0)
    folder.mkdir(parents=True, exist_ok=True)
    StepProgressFile(folder)(1, step, 90, 10 * step)


def test_the_foremost_first_epoch_is_known_until_a_running_trial_reports_one(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = desk()
    tasks = [now.manager.start(name) for name in "ab"]
    assert now.manager.in_first_epoch() is None
    for task, step in zip(tasks, (20, 30), strict=True):
        _write_steps(task.folder, step, monkeypatch)
    found = now.manager.in_first_epoch()
    assert found is not None and (found.epoch, found.step, found.steps) == (1, 30, 90)
    now.manager.report("a", SharedEpochDone(0))  # it waits for another process
    assert now.manager.in_first_epoch() == found
    now.manager.report("a", _done(1))
    assert now.manager.in_first_epoch() is None


def test_what_trials_do_after_their_last_epoch_is_no_first_epoch(
    make_spec: Callable[..., StudySpec], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    now = Desk(open_ledger(make_spec(artifacts={"embedding": "all"})), tmp_path)
    folder = now.manager.start("a").folder
    assert now.manager.after_training() == []
    folder.mkdir(parents=True, exist_ok=True)
    StepProgressFile(folder).say(EPOCHS, "making artifacts (embedding)")
    assert now.manager.after_training() == ["making artifacts (embedding)"]
    assert now.manager.in_first_epoch() is None


def test_the_steps_of_a_process_that_died_are_forgotten(
    desk: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = desk()
    folder = killed.manager.start("a").folder
    _write_steps(folder, 20, monkeypatch)
    resumed = desk()
    assert resumed.manager.start("a").folder == folder
    assert resumed.manager.in_first_epoch() is None
    _write_steps(folder, 5, monkeypatch)
    assert resumed.manager.in_first_epoch() == StepProgress(1, 5, 90)
    resumed.manager.end("a", None, failed=True)
    assert resumed.manager.start("b").folder == folder
    assert resumed.manager.in_first_epoch() is None


def test_hands_out_a_trial_as_a_task(desk: Callable[..., Desk], tmp_path: Path) -> None:
    opened = desk()
    task = opened.manager.start("t1")
    assert task is not None
    assert task.trial.method.name == "erm"
    assert task.folder == tmp_path / "cells/digits/long_tail-10/erm/00000"
    assert task.threads == 1
    assert opened.told == [("digits/long_tail-10/erm/00000", False)]


def test_cells_take_turns_until_the_budget_is_spent(desk: Callable[..., Desk]) -> None:
    opened = desk()
    handed = []
    for number in range(7):
        task = opened.manager.start(str(number))
        handed.append(task and "/".join(task.folder.parts[-2:]))
    assert handed == ["erm/00000", "cce/00000", "erm/00001", "cce/00001", "erm/00002", "cce/00002", None]


def test_interrupted_trials_come_first_and_with_their_old_values(desk: Callable[..., Desk]) -> None:
    before = desk()
    tasks = [before.manager.start(str(number)) for number in range(3)]
    _run(before, "1")
    after = desk()
    assert [after.manager.start("a"), after.manager.start("b")] == [tasks[0], tasks[2]]
    new = after.manager.start("c")
    assert new is not None
    assert str(new.folder).endswith("cce/00001")


def test_a_trial_that_was_done_but_not_told_is_completed_without_training(desk: Callable[..., Desk]) -> None:
    before = desk()
    task = before.manager.start("1")
    assert task is not None
    _write_epochs(task.folder, [0.1, 0.2, 0.3])
    before.ledger.of(before.manager._live["1"]).report(0, 1, 0.1)
    after = desk()
    new = after.manager.start("a")
    assert new is not None
    assert str(new.folder).endswith("cce/00000")
    trial = after.trial(0, 0)
    assert (trial.state.name, trial.value) == ("COMPLETE", 0.3)
    assert trial.intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}
    assert after.told[0] == ("digits/long_tail-10/erm/00000", True)


def test_what_it_shared_is_noted_too_where_its_driver_died_before(desk: Callable[..., Desk]) -> None:
    task = desk().manager.start("1")
    assert task is not None
    _write_epochs(task.folder, [0.1, 0.2, 0.3])
    spent = {"adopted": 2, "needed": 2, "trained": 1}
    TrialFolder(task.folder).write_shared_epochs(spent)
    after = desk()
    after.manager.start("a")
    assert after.trial(0, 0).state.name == "COMPLETE"
    assert after.trial(0, 0).user_attrs["shared_epochs"] == spent


def test_one_that_was_done_without_a_number_fails(desk: Callable[..., Desk]) -> None:
    before = desk()
    task = before.manager.start("1")
    assert task is not None
    _write_epochs(task.folder, [0.1, 0.2, math.nan])
    after = desk()
    after.manager.start("a")
    assert after.trial(0, 0).state.name == "FAIL"
    assert "not a number" in after.trial(0, 0).user_attrs["reason"]


def test_epochs_that_the_driver_did_not_hear_of_are_taken_in(desk: Callable[..., Desk]) -> None:
    before = desk()
    task = before.manager.start("1")
    assert task is not None
    _write_epochs(task.folder, [0.1, 0.2])
    after = desk()
    assert after.manager.start("a") == task
    assert after.trial(0, 0).intermediate_values == {1: 0.1, 2: 0.2}


def test_a_judgement_that_was_cut_off_is_made_again_before_any_training(desk: Callable[..., Desk]) -> None:
    before = desk()
    before.manager.start("good"), before.manager.start("other cell")
    _run(before, "good", 0.9)
    bad = before.manager.start("bad")
    assert bad is not None
    _write_epochs(bad.folder, [0.1])
    after = desk()
    again = after.manager.start("a")
    assert again is not None
    assert str(again.folder).endswith("cce/00000")
    nxt = after.manager.start("b")
    assert nxt is not None
    assert str(nxt.folder).endswith("cce/00001")
    trial = after.trial(0, 1)
    assert trial.state.name == "PRUNED"
    assert trial.intermediate_values == {1: 0.1}
    assert ("digits/long_tail-10/erm/00001", True) in after.told


def test_nothing_is_handed_out_after_the_deadline(desk: Callable[..., Desk]) -> None:
    desk().manager.start("interrupted")
    late = desk(deadline=time.monotonic() - 1)
    assert late.manager.out_of_time
    assert late.manager.start("1") is None
    assert len(late.ledger.interrupted()) == 1
    early = desk(deadline=time.monotonic() + 3600)
    assert not early.manager.out_of_time
    assert early.manager.start("1") is not None


def test_results_are_reported_and_the_pruner_decides(desk: Callable[..., Desk]) -> None:
    opened = desk()
    opened.manager.start("good"), opened.manager.start("other cell")
    _run(opened, "good", 0.9)
    opened.manager.start("bad")
    assert opened.manager.report("bad", _done(1, 0.1)) is True
    opened.manager.end("bad", _done(1, 0.1), failed=False)
    assert opened.trial(0, 1).state.name == "PRUNED"
    assert opened.trial(0, 1).intermediate_values == {1: 0.1}
    assert opened.manager.epochs_seen == EPOCHS + 1


def test_a_failure_is_no_epoch(desk: Callable[..., Desk]) -> None:
    opened = desk()
    opened.manager.start("1")
    assert opened.manager.report("1", Failed("NonFiniteLoss: loss nan")) is False
    assert opened.manager.epochs_seen == 0
    assert opened.trial(0, 0).intermediate_values == {}


@pytest.mark.parametrize(
    ("last", "state", "reason"),
    [
        (_done(EPOCHS, 0.7), "COMPLETE", None),
        (_done(EPOCHS, math.nan), "FAIL", "balanced_accuracy is not a number at the end"),
        (Failed("NonFiniteLoss: at epoch 2"), "FAIL", "NonFiniteLoss: at epoch 2"),
        (None, "RUNNING", None),  # Tune dropped it: a resume hands it out again
        (_done(1), "RUNNING", None),  # interrupted by the user after its first epoch
    ],
)
def test_how_a_trial_ends(last: TrialReport | None, state: str, reason: str | None, desk: Callable[..., Desk]) -> None:
    opened = desk()
    opened.manager.start("1")
    opened.manager.end("1", last, failed=False)
    trial = opened.trial(0, 0)
    assert trial.state.name == state
    assert trial.user_attrs.get("reason") == reason
    assert trial.value == (0.7 if state == "COMPLETE" else None)
    assert opened.told[1:] == ([] if state == "RUNNING" else [("digits/long_tail-10/erm/00000", True)])


def test_a_trial_whose_process_died_is_handed_out_again_and_then_fails_with_its_last_reason(
    desk: Callable[..., Desk],
) -> None:
    opened = desk()
    task = opened.manager.start("first")
    opened.manager.note_error("first", "RayActorError: killed")
    opened.manager.end("first", None, failed=True)
    assert opened.trial(0, 0).state.name == "RUNNING"
    assert opened.manager.start("second") == task  # at once, ahead of new trials
    opened.manager.note_error("second", "OSError: no space")
    died = "digits/long_tail-10/erm/00000: RayActorError: killed; it starts again from its last checkpoint"
    assert opened.said == [died]
    opened.manager.end("second", _done(1), failed=True)
    assert opened.trial(0, 0).state.name == "FAIL"
    assert opened.trial(0, 0).user_attrs["reason"] == "OSError: no space"
    assert opened.told[-1] == ("digits/long_tail-10/erm/00000", True)
    assert opened.said == [died]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("the trial's process died", "its process died"),
        ("ray.exceptions.ActorDiedError: The actor died unexpectedly.\n\tactor_id: 5", "its process died"),
        ("ActorDiedError: The actor died because its node has died. Node Id: 8f", "its machine is gone"),
        ("File a.py\nno training step ended within 60 s; above, where", "no training step ended within 60 s"),
        ("Traceback (most recent call last):\n  File a.py\nKeyError: 'x'\n", "KeyError: 'x'"),
    ],
)
def test_what_ended_a_process_is_said_in_a_few_words(reason: str, said: str) -> None:
    assert cause_of(reason) == said


def test_a_death_after_a_new_epoch_does_not_count_and_one_after_a_repeated_epoch_does(
    desk: Callable[..., Desk],
) -> None:
    opened = desk()
    for attempt, epoch in enumerate([1, 2]):
        opened.manager.start(f"new {attempt}")
        opened.manager.report(f"new {attempt}", _done(epoch))
        opened.manager.end(f"new {attempt}", None, failed=True)
        assert opened.trial(0, 0).state.name == "RUNNING"
    for attempt, state in enumerate(["RUNNING", "FAIL"]):  # one retry
        opened.manager.start(f"again {attempt}")
        opened.manager.report(f"again {attempt}", _done(2))
        opened.manager.end(f"again {attempt}", None, failed=True)
        assert opened.trial(0, 0).state.name == state


@pytest.mark.parametrize(
    "lost",
    [
        "ActorDiedError: The actor died because its node has died. Node Id: 8f",
        # what Ray says in the first seconds, before it has declared the machine dead
        "ActorUnavailableError: The actor ab41 is unavailable: The actor is temporarily unavailable: RpcError: RPC "
        "error: recvmsg:Connection reset by peer rpc_code: 14. The task may or may not have been executed.",
    ],
)
def test_a_machine_that_is_taken_away_costs_no_retry_but_not_for_ever(desk: Callable[..., Desk], lost: str) -> None:
    opened = desk()
    for attempt in range(20 + 2):  # and one retry
        assert opened.trial(0, 0).state.name == "RUNNING" if attempt else True
        opened.manager.start(str(attempt))
        opened.manager.note_error(str(attempt), lost)
        opened.manager.end(str(attempt), None, failed=True)
    assert opened.trial(0, 0).state.name == "FAIL"
    assert (opened.manager.restarts.not_counted, opened.manager.restarts.counted) == (20, 1)


def test_a_worker_that_is_replaced_costs_its_next_trial_no_retry() -> None:
    retries = Retries(most=0, epochs=2)
    for _ in range(3):
        assert retries.allows_another("ray::X.reset() ... memory_growth.WorkerReplaced: its memory has grown by 5 GiB")
    assert not retries.allows_another("the trial's process died")


def test_repeated_epochs_of_shared_trainings_are_no_progress_for_ever(desk: Callable[..., Desk]) -> None:
    opened = desk()
    for attempt in range(2 * EPOCHS + 2):
        opened.manager.start(str(attempt))
        opened.manager.report(str(attempt), SharedEpochDone(1))
        opened.manager.end(str(attempt), None, failed=True)
    assert opened.trial(0, 0).state.name == "FAIL"


def test_a_trial_that_died_after_its_last_epoch_is_complete(desk: Callable[..., Desk]) -> None:
    opened = desk()
    task = opened.manager.start("1")
    assert task is not None
    _write_epochs(task.folder, [0.1, 0.2, 0.3])
    opened.manager.end("1", _done(2), failed=True)
    assert opened.manager.start("2") != task
    assert (opened.trial(0, 0).state.name, opened.trial(0, 0).value) == ("COMPLETE", 0.3)


def test_deaths_count_for_their_own_trial_alone(desk: Callable[..., Desk]) -> None:
    opened = desk()
    opened.manager.start("1"), opened.manager.start("2")
    opened.manager.note_error("1", "of the first")
    opened.manager.end("2", None, failed=True)
    opened.manager.end("1", None, failed=True)
    assert not opened.manager.busy
    again = [opened.manager.start("3"), opened.manager.start("4")]
    assert [task and task.folder.parts[-2] for task in again] == ["cce", "erm"]
    opened.manager.end("3", None, failed=True)
    assert opened.trial(1, 0).user_attrs["reason"] == "the trial's process died"
    assert opened.trial(0, 0).state.name == "RUNNING"


def test_a_death_after_the_deadline_leaves_the_trial_to_a_resume(desk: Callable[..., Desk]) -> None:
    opened = desk(deadline=time.monotonic() + 3600)
    opened.manager.start("1")
    opened.manager._deadline = time.monotonic() - 1
    opened.manager.end("1", None, failed=True)
    assert opened.manager.start("2") is None
    assert not opened.manager.busy
    assert len(desk().ledger.interrupted()) == 1


def test_it_is_busy_while_a_trial_may_still_come_back(desk: Callable[..., Desk]) -> None:
    opened = desk()
    assert not opened.manager.busy
    for number in range(6):
        opened.manager.start(str(number))
    assert opened.manager.start("none left") is None
    assert opened.manager.busy
    for number in range(6):
        opened.manager.end(str(number), _done(EPOCHS), failed=False)
    assert opened.manager.start("none left") is None
    assert not opened.manager.busy


def test_ends_that_come_twice_or_of_unknown_trials_change_nothing(desk: Callable[..., Desk]) -> None:
    opened = desk()
    opened.manager.end("never started", _done(EPOCHS), failed=True)
    opened.manager.start("1")
    opened.manager.end("1", _done(EPOCHS, 0.7), failed=False)
    opened.manager.end("1", None, failed=True)
    assert opened.trial(0, 0).state.name == "COMPLETE"


def test_a_fault_of_the_machine_stops_the_study_and_blames_no_trial(desk: Callable[..., Desk]) -> None:
    opened = desk()
    first = opened.manager.start("1")
    opened.manager.start("2")
    opened.manager.end("1", MachineFault("No space left on device"), failed=False)
    assert opened.manager.fault == "No space left on device"
    assert opened.trial(0, 0).state.name == "RUNNING"
    opened.manager.end("2", None, failed=True)
    assert opened.manager.start("3") is None
    assert not opened.manager.busy
    assert desk().manager.start("a") == first


# the best epoch


@pytest.fixture
def best_desk(study: StudySpec, open_ledger: Callable[..., Ledger], tmp_path: Path) -> Callable[..., Desk]:
    """As `desk`, of a study whose trials' results are their best epochs."""
    search = study.search.model_copy(
        update={"select": "best", "pruner": PrunerSpec(name="none"), "constraints": {"few": Bounds(min=0.25)}}
    )
    chosen = study.model_copy(update={"search": search})
    return lambda: Desk(open_ledger(chosen), tmp_path)


def _train_to_the_end(desk: Desk, runner_id: str, values: list[float], *, told: int | None = None) -> None:
    """Write all epochs of a trial; tell the manager only the first ones, as a driver that dies then."""
    task = desk.manager.start(runner_id)
    assert task is not None and task.select_by == "balanced_accuracy"
    files = TrialFolder(task.folder)
    files.write_config({})
    for epoch, value in enumerate(values, 1):
        result = {"epoch": epoch, "balanced_accuracy": value, "few": epoch / 10}
        files.append_epoch(result)
        if told is None and epoch == EPOCHS:
            desk.manager.end(runner_id, EpochDone(result, finished=True), failed=False)
        elif told is None or epoch <= told:
            desk.manager.report(runner_id, EpochDone(result))


@pytest.mark.parametrize("told", [None, 0, 1, 2, 3])
def test_the_best_epoch_is_the_result_also_if_the_driver_died(told: int | None, best_desk: Callable[..., Desk]) -> None:
    opened = best_desk()
    _train_to_the_end(opened, "1", [0.5, 0.7, 0.6], told=told)
    if told is not None:
        opened = best_desk()
        opened.manager.start("2")
    trial = opened.trial()
    assert (trial.state.name, trial.values) == ("COMPLETE", [0.7])
    assert trial.user_attrs["selected_epoch"] == 2
    assert trial.constraints == {"few.min": pytest.approx(0.05)}  # of the second epoch, where few is .2
    assert trial.intermediate_values == {1: 0.5, 2: 0.7, 3: 0.6}


def test_the_first_of_equal_epochs_is_selected_and_nan_never(best_desk: Callable[..., Desk]) -> None:
    opened = best_desk()
    _train_to_the_end(opened, "1", [0.7, math.nan, 0.7])
    assert opened.trial().user_attrs["selected_epoch"] == 1


def test_post_hoc_methods_train_every_epoch_themselves_to_select_one(
    make_spec: Callable[..., StudySpec], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    for select, shares in (("last", True), ("best", False)):
        study = make_spec("name=" + select, methods=["tau-norm"], search={"trials": 1, "select": select})
        manager = TrialManager(open_ledger(study), tmp_path, listener=lambda assignment, ended: None)
        task = manager.start("1")
        assert task is not None
        assert task.share_prefix is shares


def test_a_trial_is_told_which_artifacts_to_make(
    make_spec: Callable[..., StudySpec], open_ledger: Callable[..., Ledger], tmp_path: Path
) -> None:
    spec = make_spec(search={"trials": 1, "pruner": "none"}, confirm={"seeds": 1}, training={"epochs": EPOCHS})
    spec = spec.model_copy(update={"artifacts": spec.artifacts.model_copy(update={"offsets": "all"})})
    manager = Desk(open_ledger(spec), tmp_path).manager
    search = manager.start("a")
    assert search is not None and (search.evaluate_test, search.artifacts) == (False, ("offsets",))
    manager.end("a", _done(EPOCHS), failed=False)
    confirming = manager.start("b")
    assert confirming is not None and confirming.evaluate_test
    assert confirming.artifacts == ("offsets", "embedding", "mistakes", "logits", "model")  # the winner's first seed


@pytest.mark.parametrize("away", [False, True])
def test_no_trial_is_handed_out_once_the_lock_is_lost(away: bool, desk: Callable[..., Desk], tmp_path: Path) -> None:
    held = [True]

    def owns() -> bool:
        if away and not held[0]:
            raise OSError(5, "the database of locks cannot be used")
        return held[0]

    manager = TrialManager(desk().ledger, tmp_path, listener=lambda *_: None, owns=owns)
    assert manager.start("first") is not None
    held[0] = False
    assert manager.start("second") is None
    assert manager.fault == (
        "the database of locks cannot be used"
        if away
        else "another process took the study's lock while its database was away"
    )


def test_a_task_names_the_database_of_its_locks(desk: Callable[..., Desk], tmp_path: Path) -> None:
    manager = TrialManager(desk().ledger, tmp_path, listener=lambda *_: None, locks="postgresql://host/study")
    task = manager.start("first")
    assert task is not None and task.locks == "postgresql://host/study"
    assert TrialTask.from_json(task.to_json()) == task
    on_s3 = replace(task, folder=storage_path("s3://bucket/runs/a"), shared=storage_path("s3://bucket/runs/shared"))
    assert TrialTask.from_json(on_s3.to_json()) == on_s3


def test_the_metrics_of_an_ended_trial_are_in_the_ledger(desk: Callable[..., Desk]) -> None:
    made = desk()
    place = {"precision": "float32", "device": "cpu"}
    for runner_id, value in (("complete", 0.5), ("pruned", 0.1)):
        assert made.manager.start(runner_id) is not None
        for epoch in range(1, EPOCHS + 1):
            result = {"epoch": epoch, "balanced_accuracy": value, "stage": "all"}
            done = EpochDone(result, finished=epoch == EPOCHS, trained_in=place)
            if epoch < EPOCHS:
                made.manager.report(runner_id, done)
        made.manager.end(runner_id, done, failed=False)
    for cell in (0, 1):
        assert made.trial(cell).user_attrs[ENDED_WITH] == {
            "metrics": {"balanced_accuracy": (0.5, 0.1)[cell]},
            **place,
        }
