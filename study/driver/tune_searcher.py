"""Ray Tune's searcher over the ledger: it proposes nothing itself and keeps no state of its own."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from study.driver.trial_manager import TrialManager


class LedgerSearcher(Searcher):
    """Hands Tune the trials of a `TrialManager` and returns their ends to it."""

    def __init__(self, manager: TrialManager) -> None:
        """Forward to ``manager``."""
        super().__init__()
        self._manager = manager

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # as documented
        """Return the next trial's configuration, None while there may be one later, or FINISHED."""
        return self._manager.start(trial_id) or (None if self._manager.busy else Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """End the trial."""
        self._manager.end(trial_id, result, failed=error)

    # Tune pickles the searcher now and then. The ledger is the only truth, so there is nothing to keep.
    def save(self, checkpoint_path: str) -> None:
        """Keep nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Need nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}
