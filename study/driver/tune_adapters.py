"""Adapters between Ray Tune and the trial manager: searcher, scheduler, callback. The manager holds the state."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from study.driver.interrupts import Interrupts
from study.driver.progress import Progress
from study.driver.trial_manager import TrialManager
from study.driver.tune_internals import forget_ended
from trainables.core.trial_report import from_result

_WORKER_START = 60.0
"""Seconds that a trial waits for its own new worker before it takes a free one."""


class LedgerSearcher(Searcher):
    """Tune's searcher: hands out the trials of a `TrialManager` and forwards their ends. It proposes nothing itself."""

    def __init__(self, manager: TrialManager) -> None:
        """Forward to ``manager``."""
        super().__init__()
        self._manager = manager

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # as documented
        """Return the next trial's configuration, None if one may follow later, or FINISHED."""
        task = self._manager.start(trial_id)
        if task is not None:
            return task.to_json()
        return None if self._manager.busy else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """End the trial."""
        self._manager.end(trial_id, from_result(result or {}), failed=error)

    # Tune pickles the searcher periodically; the ledger is the single source of truth, so there is nothing to save
    def save(self, checkpoint_path: str) -> None:
        """Save nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerScheduler(FIFOScheduler):
    """Tune's scheduler: runs trials in order and stops those that the ledger's pruner rejects."""

    def __init__(self, manager: TrialManager) -> None:
        """Forward to ``manager``."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._manager = manager
        self._asked: dict[str, float] = {}

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return the oldest pending trial without a starting worker, or None.

        Tune's own order gives a free worker to the oldest pending trial and kills the worker that is starting for it.
        With trials shorter than a worker's start, one worker would then do all the work.

        Tune asks between two events. Trials that have ended are dropped then.
        """
        for trial in forget_ended(tune_controller):
            self._asked.pop(trial.trial_id, None)
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
        report = from_result(result)
        stop = report is not None and self._manager.report(trial.trial_id, report)
        return TrialScheduler.STOP if stop else TrialScheduler.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Store a trial's error. Tune then ends the trial in the searcher without it."""
        if trial.error_file is not None:
            lines = Path(trial.error_file).read_text(encoding="utf-8", errors="replace").strip()
            self._manager.note_error(trial.trial_id, lines)

    def __getstate__(self) -> dict[str, Any]:
        return {}


class ProgressCallback(Callback):
    """Updates the display after every step of Tune's loop."""

    def __init__(self, progress: Progress, interrupts: Interrupts | None = None) -> None:
        """Update ``progress``, and let ``interrupts`` answer to Ctrl-C."""
        self._progress, self._interrupts = progress, interrupts

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Answer to Ctrl-C from now on."""
        if self._interrupts is not None:
            self._interrupts.before_step()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Show the state."""
        self._progress.show()

    def __getstate__(self) -> dict[str, Any]:
        return {}


class NoTrialProgress(TrialProgressCallback):
    """Replaces Tune's printer of results, which Tune adds otherwise and which keeps every trial that has ended."""

    def on_trial_result(self, *given: Any, **info: Any) -> None:
        """Print nothing."""

    def on_trial_error(self, *given: Any, **info: Any) -> None:
        """Print nothing."""

    def on_trial_complete(self, *given: Any, **info: Any) -> None:
        """Print nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}
