"""The adapters between Ray Tune and the trial manager."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher

from study.driver import tune_adapters
from study.driver.trial_manager import TrialManager
from study.driver.tune_adapters import LedgerScheduler, LedgerSearcher
from study.ledger.study_ledger import Ledger
from study.spec.study_spec import StudySpec
from trainables.core.trial_report import EpochDone, to_result

EPOCHS = 3


def _result(epoch: int, value: float) -> dict[str, Any]:
    return to_result(EpochDone({"epoch": epoch, "balanced_accuracy": value}, finished=epoch == EPOCHS))


@pytest.fixture
def manager(make_spec: Callable[..., StudySpec], open_ledger: Callable[..., Ledger], tmp_path: Path) -> TrialManager:
    pruner = {"name": "median", "startup_trials": 1}
    spec = make_spec(training={"epochs": EPOCHS}, search={"trials": 2, "pruner": pruner}, resources={"retries": 1})
    return TrialManager(open_ledger(spec), tmp_path, listener=lambda assignment, ended: None)


def test_the_searcher_waits_while_a_trial_may_come_back_and_finishes_when_none_can(manager: TrialManager) -> None:
    searcher = LedgerSearcher(manager)
    first, second = searcher.suggest("1"), searcher.suggest("2")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert searcher.suggest("3") is None
    searcher.on_trial_complete("1", _result(EPOCHS, 0.5))
    assert searcher.suggest("4") is None
    searcher.on_trial_complete("2", None, error=True)
    assert searcher.suggest("5") == second  # its process died
    assert searcher.suggest("6") is None
    searcher.on_trial_complete("5", _result(EPOCHS, 0.5))
    assert searcher.suggest("7") == Searcher.FINISHED


def test_the_scheduler_stops_what_the_pruner_gives_up(manager: TrialManager) -> None:
    scheduler, searcher = LedgerScheduler(manager), LedgerSearcher(manager)
    for tune_id in ("good", "bad"):
        searcher.suggest(tune_id)
    good, bad = (SimpleNamespace(trial_id=tune_id) for tune_id in ("good", "bad"))
    assert scheduler.on_trial_result(None, good, _result(1, 0.9)) == TrialScheduler.CONTINUE
    searcher.on_trial_complete("good", _result(EPOCHS, 0.9))
    assert scheduler.on_trial_result(None, bad, _result(1, 0.1)) == TrialScheduler.STOP


def test_a_worker_that_comes_free_goes_to_a_trial_that_has_none_starting(
    manager: TrialManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.0, 3.0, 62.0, 63.0])
    monkeypatch.setattr(tune_adapters, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    running = SimpleNamespace(trial_id="running", status=Trial.RUNNING)
    waiting: list[Any] = [SimpleNamespace(trial_id=name, status=Trial.PENDING) for name in ("older", "newer")]
    older, newer = waiting
    trials, scheduler = [running, older], LedgerScheduler(manager)
    monkeypatch.setattr(tune_adapters, "forget_ended", lambda controller: [])
    controller = SimpleNamespace(get_trials=lambda: trials)
    assert scheduler.choose_trial_to_run(controller) is older
    assert scheduler.choose_trial_to_run(controller) is None  # its own worker is starting
    trials.append(newer)
    assert scheduler.choose_trial_to_run(controller) is newer
    newer.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(controller) is None
    for _ in range(2):  # it waited for a minute, since its worker may find no room: the next that comes free is its
        assert scheduler.choose_trial_to_run(controller) is older


def test_the_end_of_an_error_file_is_the_reason(manager: TrialManager, tmp_path: Path) -> None:
    scheduler, searcher = LedgerScheduler(manager), LedgerSearcher(manager)
    searcher.suggest("1")
    error = tmp_path / "error.txt"
    error.write_bytes(b"x" * 5000 + b"\xff\nOSError: no space\n")
    for _ in range(2):  # the first death is forgiven
        scheduler.on_trial_error(None, SimpleNamespace(trial_id="1", error_file=str(error)))
        searcher.on_trial_complete("1", None, error=True)
        searcher.suggest("1")
    (cell,) = manager._ledger.cells.values()
    reason = cell.trials()[0].user_attrs["reason"]
    assert reason.endswith("OSError: no space")
    assert len(reason) == 2000
    scheduler.on_trial_error(None, SimpleNamespace(trial_id="2", error_file=None))


def test_neither_keeps_anything_that_tune_could_store(manager: TrialManager, tmp_path: Path) -> None:
    searcher = LedgerSearcher(manager)
    for part in (searcher, LedgerScheduler(manager)):
        assert pickle.loads(pickle.dumps(part)).__dict__ == {}
    searcher.save(str(tmp_path / "state"))
    searcher.restore(str(tmp_path / "state"))
    assert not (tmp_path / "state").exists()
