"""Optuna's database storage for a driver: it waits for a database that is away, and does nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from study.ledger.optuna_tables import models
from study.ledger.rdb_storage import BulkReadStorage
from trainables.core.database_connection import OpenConnections, engine_settings, outage
from trainables.core.patience import Patience

Result = TypeVar("Result")

_REPEATABLE = (
    "create_new_study",  # the second time it is a DuplicatedStudyError, on which Optuna loads the study
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_all_studies",
    "get_trial",
    "get_trial_id_from_study_id_trial_number",
    "read_trials",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "set_trial_intermediate_value",
    "add_param",  # a second row violates the table's key, which Optuna ignores
)
"""Methods that leave the same rows when they are called twice."""


class PatientStorage(BulkReadStorage):
    """A storage whose calls are tried again while the database does not answer.

    The answer to a commit can be lost when the commit was done. The next try then finds what was written: a new trial
    by its id, which is above all that the study had; a state by reading it. Both tries lock the same row, so that the
    second waits for the end of the first. Only one driver at a time writes to a study.

    Every method raises `ServiceAway` once the database was away for too long.
    """

    def __init__(self, url: str, patience: Patience) -> None:
        """Connect to the database, without patience, and create Optuna's tables if they are missing.

        Args:
            url: of the database, with its password.
            patience: how long it is waited for once it has answered.
        """
        self._creating = threading.local()
        self._patience = patience
        super().__init__(url, engine_settings(url))
        self._connections = OpenConnections(self.engine)
        self.engine.dispose()  # the connections so far are not followed

    def _patiently(self, act: Callable[[bool], Result]) -> Result:
        def one_try(again: bool) -> Result:
            with self._connections.answering():
                return act(again)

        return self._patience.call(one_try, outage)

    def create_trial(self, study_id: int, template: FrozenTrial | None) -> FrozenTrial:
        """Create a trial, once."""
        self._creating.newest = None
        return self._patiently(lambda again: super(PatientStorage, self).create_trial(study_id, template))

    def add_trial_row(self, study_id: int, template: FrozenTrial | None, session: Any) -> Any:
        """Return the row that an earlier try has added, else a new one."""
        trial = models.TrialModel
        newest = session.query(trial).filter(trial.study_id == study_id).order_by(trial.trial_id.desc()).first()
        known, found = self._creating.newest, -1 if newest is None else int(newest.trial_id)
        if known is not None and found > known:
            return newest
        self._creating.newest = found
        return super().add_trial_row(study_id, template, session)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Set state and values; False if a trial to be started is not waiting any more."""

        def act(again: bool) -> bool:
            try:
                done = super(PatientStorage, self).set_trial_state_values(trial_id, state, values)
            except UpdateFinishedTrialError:
                if not again or self.get_trial(trial_id).state != state:
                    raise
                return True
            return done or (again and self.get_trial(trial_id).state == state)

        return self._patiently(act)


def _patient(name: str) -> Callable[..., Any]:
    def call(self: PatientStorage, *given: Any, **named: Any) -> Any:
        return self._patiently(lambda again: getattr(super(PatientStorage, self), name)(*given, **named))

    call.__name__, call.__doc__ = name, f"Do what Optuna's ``{name}`` does, and wait for the database."
    return call


for _name in _REPEATABLE:
    setattr(PatientStorage, _name, _patient(_name))
