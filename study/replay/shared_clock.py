"""Shared trainings of a replayed study: each is trained once, by the first trial that needs it."""

from __future__ import annotations

from trainables.core.config import TrialConfig
from trainables.core.trial_report import SharedEpochs
from trainables.methods.registry import reference_of, shared_prefix_of


class SharedClock:
    """Simulates `trainables.shared_trainings.needed_trainings` on a clock that counts epochs."""

    def __init__(self) -> None:
        """Start without any shared training."""
        self._trained: dict[str, int] = {}
        self._ready: dict[str, float] = {}

    def take(self, trial: TrialConfig, now: float, *, share_prefix: bool) -> tuple[float, SharedEpochs]:
        """Train the missing shared trainings that a trial needs.

        Args:
            trial: the trial's configuration.
            now: the trial's start time, in epochs.
            share_prefix: True if the trial has a shared prefix.

        Returns:
            The time at which the trial's own training can begin, and its shared epochs.
        """
        shared_prefix, reference = shared_prefix_of(trial) if share_prefix else None, reference_of(trial)
        needs = [] if shared_prefix is None else [shared_prefix]
        needs += [] if reference is None else [(reference, trial.training.epochs)]
        trained = 0
        for config, until in needs:
            now, epochs = self._have(config.fingerprint(), until, now)
            trained += epochs
        needed = sum(until for _, until in needs)
        return now, SharedEpochs(shared_prefix[1] if shared_prefix else 0, needed, trained)

    def _have(self, key: str, until: int, now: float) -> tuple[float, int]:
        begin = max(now, self._ready.get(key, now))
        missing = max(0, until - self._trained.get(key, 0))
        if missing:
            self._trained[key], self._ready[key] = until, begin + missing
        return begin + missing, missing
