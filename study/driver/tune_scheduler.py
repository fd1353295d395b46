"""Ray Tune's scheduler over the ledger: Optuna's pruners decide, on values that outlive any process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from study.driver.trial_manager import TrialManager

_REASON_LENGTH = 2000
_WORKER_START = 60.0
"""Seconds that a trial waits for a worker of its own before it takes one that comes free."""


class LedgerScheduler(FIFOScheduler):
    """Runs trials in the order they come and stops those that the ledger's pruner gives up."""

    def __init__(self, manager: TrialManager) -> None:
        """Forward to ``manager``."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._manager = manager
        self._asked: dict[str, float] = {}

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return the oldest waiting trial for which no worker is being started, or None.

        Tune's own order gives a worker that comes free to the oldest waiting trial and kills the one being started for
        it. With trials shorter than a worker's start, one worker would do all the work and the others only start.
        """
        now = time.monotonic()
        trials: list[Trial] = tune_controller.get_trials()
        for trial in trials:
            if trial.status != Trial.PENDING:
                continue
            asked = self._asked.get(trial.trial_id)
            if asked is None or now - asked > _WORKER_START:
                self._asked.setdefault(trial.trial_id, now)
                return trial
        return None

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Report the epoch and return CONTINUE or STOP. Tune does not call this for a last result."""
        stop = self._manager.result(trial.trial_id, result)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Note what a trial died of; the searcher is told next, without the reason."""
        if trial.error_file is not None:
            lines = Path(trial.error_file).read_text(encoding="utf-8", errors="replace").strip()
            self._manager.note_error(trial.trial_id, lines[-_REASON_LENGTH:])

    def __getstate__(self) -> dict[str, Any]:
        return {}
