"""Writes whose answer was lost, or whose database was away, are done once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from study.ledger.patient_storage import PatientStorage
from trainables.core.patience import Patience, ServiceAway


class Unreliable:
    """A ledger in a SQLite file whose next commits fail, before or after they are done."""

    def __init__(self, path: Path) -> None:
        self.said: list[str] = []
        self.patience = Patience("the ledger", 600.0, say=self.said.append, final=True)
        self.storage = PatientStorage(f"sqlite:///{path / 'ledger.db'}", self.patience)
        self.study = optuna.create_study(study_name="study", storage=self.storage)
        self._commit: Callable[[Any], None] = self.storage.engine.dialect.do_commit
        self.failures: list[str] = []
        self.storage.engine.dialect.do_commit = self._commit_or_not  # type: ignore[method-assign,assignment]

    def _commit_or_not(self, connection: Any) -> None:
        when = self.failures.pop(0) if self.failures else None
        if when != "before":
            self._commit(connection)
        if when is not None:
            raise sqlite3.OperationalError(f"connection lost {when} the commit")

    def trials(self) -> list[FrozenTrial]:
        return optuna.load_study(study_name="study", storage=self.storage).get_trials()


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Unreliable:
    monkeypatch.setattr("random.random", lambda: 0.0)  # Optuna's own pauses after a failed creation
    return Unreliable(tmp_path)


WHEN = pytest.mark.parametrize("failures", [["after"], ["before"], ["after", "after"], ["before", "after", "before"]])


@WHEN
def test_a_new_trial_is_created_once(ledger: Unreliable, failures: list[str]) -> None:
    ledger.study.ask()
    ledger.failures += failures
    assert ledger.study.ask().number == 1
    assert [trial.state for trial in ledger.trials()] == [TrialState.RUNNING] * 2


@WHEN
def test_a_trial_is_queued_once_and_started_once(ledger: Unreliable, failures: list[str]) -> None:
    ledger.failures += failures
    ledger.study.enqueue_trial({"x": 0.25}, user_attrs={"source": "preset"})
    assert [trial.state for trial in ledger.trials()] == [TrialState.WAITING]
    ledger.failures += failures
    trial = ledger.study.ask()
    assert trial.number == 0 and trial.suggest_float("x", 0, 1) == 0.25
    (found,) = ledger.trials()
    assert found.state == TrialState.RUNNING and found.user_attrs == {"source": "preset"}


@WHEN
def test_params_values_and_the_end_are_stored_once(ledger: Unreliable, failures: list[str]) -> None:
    trial = ledger.study.ask()
    ledger.failures += failures
    x = trial.suggest_float("x", 0, 1)
    ledger.failures += failures
    ledger.storage.set_trial_intermediate_value(trial._trial_id, 3, 0.5)
    ledger.failures += failures
    ledger.storage.set_trial_user_attr(trial._trial_id, "params", {"x": x})
    ledger.failures += failures
    ledger.study.tell(trial.number, 0.75)
    (found,) = ledger.trials()
    assert (found.params, found.intermediate_values, found.user_attrs) == ({"x": x}, {3: 0.5}, {"params": {"x": x}})
    assert (found.state, found.value) == (TrialState.COMPLETE, 0.75)


@WHEN
def test_a_study_is_created_once(ledger: Unreliable, failures: list[str]) -> None:
    ledger.failures += failures
    optuna.create_study(study_name="second", storage=ledger.storage, load_if_exists=True)
    assert [study.study_name for study in ledger.storage.get_all_studies()] == ["study", "second"]


def test_a_trial_that_has_ended_otherwise_stays(ledger: Unreliable) -> None:
    trial = ledger.study.ask()
    ledger.study.tell(trial.number, 1.0)
    with pytest.raises(UpdateFinishedTrialError):
        ledger.storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])
    assert not ledger.said


def test_a_trial_that_is_not_waiting_cannot_be_started(ledger: Unreliable) -> None:
    trial = ledger.study.ask()
    assert not ledger.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)


def test_an_outage_that_is_too_long_is_one_error(ledger: Unreliable) -> None:
    ledger.patience.seconds = 0.2
    ledger.failures += ["before"] * 100
    with pytest.raises(ServiceAway, match=r"^the ledger .* \(connection lost before the commit\)$"):
        ledger.study.enqueue_trial({"x": 0.5})
    with pytest.raises(ServiceAway):  # at once
        ledger.study.get_trials()


def test_wrong_statements_are_no_outage(ledger: Unreliable) -> None:
    wide = create_trial(value=1.0, params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)})
    ledger.study.add_trial(wide)
    with pytest.raises(KeyError):
        ledger.storage.get_all_trials(99)
    assert not ledger.said
