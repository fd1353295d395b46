"""Private parts of Ray Tune that the driver relies on, so that Tune forgets trials that have ended.

Tune keeps every trial until its loop ends: configuration, results, an object in Ray's store. It also looks through
all of them in every step, and writes them into its experiment's state. The ledger holds what is needed of an ended
trial, so the driver's memory and the time of a step need not grow with the trials. A test covers these parts and
names the versions it ran with.
"""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial

CHECKED = ((2, 60), (2, 60))
"""Oldest and newest Ray release (major, minor) that the tests ran with."""


def forget_ended(controller: Any) -> list[Trial]:
    """Remove the ended trials from Tune's controller and return them; to be called between two of its events.

    Args:
        controller: a `TuneController`, or the wrapper of it that schedulers get.
    """
    tune = getattr(controller, "_tune_controller", controller)
    ended: set[Trial] = tune._stopped_trials | tune._failed_trials
    if not ended:
        return []
    for listed in (tune._trials, tune._pending_trials_list):  # in place: callbacks hold the same list
        listed[:] = [trial for trial in listed if trial not in ended]
    for kept in (tune._stopped_trials, tune._failed_trials, tune._live_trials, tune._trials_to_cache):
        kept -= ended
    for trial in ended:
        tune._trial_metadata.pop(trial.trial_id, None)
    return list(ended)
