"""When the shared trainings of a replayed study are there: trained once, by the first trial that needs them."""

from __future__ import annotations

from trainables.core.config import TrialConfig
from trainables.methods.registry import reference_of, shared_prefix_of


class SharedClock:
    """Shared trainings as `trainables.shared.shared_needs` has them done, on a clock that counts epochs."""

    def __init__(self) -> None:
        """Nothing is trained yet."""
        self._trained: dict[str, int] = {}
        self._ready: dict[str, float] = {}

    def take(self, trial: TrialConfig, now: float, *, share_prefix: bool) -> tuple[float, dict[str, int]]:
        """Have everything trained that a trial needs.

        Args:
            trial: what is to be trained.
            now: the time at which it starts, in epochs.
            share_prefix: whether its opening is shared.

        Returns:
            When the trial itself can begin, and its epochs: ``adopted``, ``needed``, ``trained``.
        """
        shared_prefix, reference = shared_prefix_of(trial) if share_prefix else None, reference_of(trial)
        needs = [] if shared_prefix is None else [shared_prefix]
        needs += [] if reference is None else [(reference, trial.training.epochs)]
        trained = 0
        for config, until in needs:
            now, epochs = self._have(config.fingerprint(), until, now)
            trained += epochs
        needed = sum(until for _, until in needs)
        return now, {"adopted": shared_prefix[1] if shared_prefix else 0, "needed": needed, "trained": trained}

    def _have(self, key: str, until: int, now: float) -> tuple[float, int]:
        begin = max(now, self._ready.get(key, now))
        missing = max(0, until - self._trained.get(key, 0))
        if missing:
            self._trained[key], self._ready[key] = until, begin + missing
        return begin + missing, missing
