"""Ray Tune's scheduler over the ledger: Optuna's pruners decide, on values that outlive any process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from study.book import TrialBook

_REASON_LENGTH = 2000


class LedgerScheduler(FIFOScheduler):
    """Runs trials in the order they come and stops those that the ledger's pruner gives up."""

    def __init__(self, book: TrialBook) -> None:
        """Forward to ``book``."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._book = book

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Report the epoch and return CONTINUE or STOP. Tune does not call this for a last result."""
        stop = self._book.result(trial.trial_id, result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Note what a trial died of; the searcher is told next, without the reason."""
        if trial.error_file is not None:
            lines = Path(trial.error_file).read_text(encoding="utf-8", errors="replace").strip()
            self._book.note_error(trial.trial_id, lines[-_REASON_LENGTH:])

    def __getstate__(self) -> dict[str, Any]:
        return {}
