"""Private parts of Optuna's database storage, which has no public bulk read. Importing them imports SQLAlchemy."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from optuna.storages import RDBStorage
from optuna.storages._rdb import models as models
from optuna.trial import FrozenTrial, TrialState


class TrialReadingStorage(RDBStorage):
    """Optuna's database storage; every read of a study's trials goes through `read_trials`."""

    def read_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_ids: set[int],
        newer_than: int,
    ) -> list[FrozenTrial]:
        """Return a study's trials with an id above ``newer_than`` or in ``included_ids``, ordered by id.

        Raises:
            KeyError: the study does not exist.
        """
        return super()._get_trials(study_id, states, included_ids, newer_than)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        return self.read_trials(study_id, states, included_trial_ids, trial_id_greater_than)


def table_of(model: Any) -> Any:
    """Return the SQLAlchemy table behind one of Optuna's models."""
    return model.__table__
