"""All that the project takes from Optuna beside its public interface, in one place.

Optuna's public interface has no write to a trial of another process, no id of a stored study, and no bulk read of a
database. A test states what is relied on here and the versions it was checked with. A sampler's hook
(`QMCSampler._find_sample_id`) stays with the sampler that overrides it; the same test covers it.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from optuna import Study
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models as models
from optuna.trial import FrozenTrial, Trial, TrialState

CHECKED = ((5, 0), (5, 0))
"""The oldest and the newest release, major and minor, that the tests ran with."""

QUEUED_PARAMS = "fixed_params"
"""System attribute under which `Study.enqueue_trial` keeps the params that a trial is yet to take."""


def trial_id(trial: FrozenTrial) -> int:
    """Return a trial's id in its storage, unique over all studies there; its number is unique in its study alone."""
    return trial._trial_id


def study_ids(storage: BaseStorage) -> dict[str, int]:
    """Return the id of every study of a storage by its name."""
    return {study.study_name: study._study_id for study in storage.get_all_studies()}


def writable_trial(study: Study, trial: FrozenTrial) -> Trial:
    """Return a trial that params can be suggested to, also where another process started it."""
    return Trial(study, trial_id(trial))


class TrialReadingStorage(RDBStorage):
    """Optuna's database storage, all of whose reads of a study's trials go through `read_trials`."""

    def read_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_ids: set[int],
        newer_than: int,
    ) -> list[FrozenTrial]:
        """Return a study's trials with an id above ``newer_than``, and those named, ordered by id.

        Raises:
            KeyError: no such study.
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
