"""Private parts of Optuna that the ledger relies on; those of its database are in `optuna_tables`.

Optuna's public interface cannot write to a trial of another process and does not expose the id of a stored
study. A test covers these parts and names the versions it ran with. The hook `QMCSampler._find_sample_id` stays with
the sampler that overrides it; the same test covers it.
"""

from __future__ import annotations

from optuna import Study
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial

CHECKED = ((5, 0), (5, 0))
"""Oldest and newest Optuna release (major, minor) that the tests ran with."""


def trial_id(trial: FrozenTrial | Trial) -> int:
    """Return a trial's id, which is unique in its storage; its number is unique only in its study."""
    return trial._trial_id


def study_ids(storage: BaseStorage) -> dict[str, int]:
    """Return study name -> study id for every study in a storage."""
    return {study.study_name: study._study_id for study in storage.get_all_studies()}


def writable_trial(study: Study, trial: FrozenTrial) -> Trial:
    """Return a writable handle on a trial, even if another process started it."""
    return Trial(study, trial_id(trial))
