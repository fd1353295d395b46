"""Private parts of Optuna's database storage, which has no public bulk read. Importing them imports SQLAlchemy."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.storages import RDBStorage
from optuna.storages._rdb import models as models
from optuna.trial import FrozenTrial, TrialState


class TrialReadingStorage(RDBStorage):
    """Optuna's database storage with hooks: reads of a study's trials, new trials, and params go through them."""

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

    def create_trial(self, study_id: int, template: FrozenTrial | None) -> FrozenTrial:
        """Create a trial in one transaction, which is repeated up to five times after an error of the database."""
        return super()._create_new_trial(study_id, template)

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        return self.create_trial(study_id, template_trial)

    def add_trial_row(self, study_id: int, template: FrozenTrial | None, session: Any) -> Any:
        """Add a trial in the transaction of `create_trial`, which has locked the study's row; return its row."""
        return super()._get_prepared_new_trial(study_id, template, session)

    def _get_prepared_new_trial(self, study_id: int, template_trial: FrozenTrial | None, session: Any) -> Any:
        return self.add_trial_row(study_id, template_trial, session)

    def add_param(
        self, trial_id: int, name: str, value: float, distribution: BaseDistribution, before: BaseDistribution | None
    ) -> None:
        """Add a row for a param; the database's key ignores a second one."""
        super()._set_trial_param(trial_id, name, value, distribution, before)

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        self.add_param(trial_id, param_name, param_value_internal, distribution, previous_distribution)


def table_of(model: Any) -> Any:
    """Return the SQLAlchemy table behind one of Optuna's models."""
    return model.__table__
