"""Private parts of Optuna that the ledger relies on; those of its database are in `optuna_tables`.

Optuna's public interface cannot write to a trial of another process and has no id of a stored study. A test states
what is relied on and the versions it was checked with. A sampler's hook (`QMCSampler._find_sample_id`) stays with the
sampler that overrides it; the same test covers it.
"""

from __future__ import annotations

from optuna import Study
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial

CHECKED = ((5, 0), (5, 0))
"""The oldest and the newest release, major and minor, that the tests ran with."""

QUEUED_PARAMS = "fixed_params"
"""System attribute under which `Study.enqueue_trial` keeps the params that a trial is yet to take."""


def trial_id(trial: FrozenTrial | Trial) -> int:
    """Return a trial's id in its storage, unique over all studies there; its number is unique in its study alone."""
    return trial._trial_id


def study_ids(storage: BaseStorage) -> dict[str, int]:
    """Return the id of every study of a storage by its name."""
    return {study.study_name: study._study_id for study in storage.get_all_studies()}


def writable_trial(study: Study, trial: FrozenTrial) -> Trial:
    """Return a trial that params can be suggested to, also where another process started it."""
    return Trial(study, trial_id(trial))
