"""The trial runner of replayed studies: a simulated clock, and surrogates instead of training."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from optuna.storages import InMemoryStorage

from study.driver.trial_manager import TrialManager
from study.ledger.cell_ledger import Assignment
from study.ledger.study_ledger import Ledger
from study.replay.recorded_curves import Surrogates, watched_metrics
from study.replay.shared_clock import SharedClock
from study.search.unit_cube import Floats
from study.spec.cell import Cell, expand
from study.spec.study_spec import StudySpec
from study.store.warm_start import WarmStarts
from trainables.core.trial_report import EpochDone, Failed, SharedEpochs

_NOWHERE = Path("/nonexistent/replay")
"""The study's folder: a replayed trial has no files."""


@dataclass
class _Running:
    """A trial in simulated training; ``epoch`` is its last finished epoch."""

    runner_id: str
    assignment: Assignment
    curves: dict[str, Floats]
    diverges_after: int | None
    shared: SharedEpochs
    epoch: int


@dataclass(frozen=True)
class Simulated:
    """A simulated study.

    Attributes:
        ledger: its ledger.
        truth: trial key -> noise-free objective value at the last epoch, for pruned trials too.
        clock: end of the last trial, in epochs of one worker.
    """

    ledger: Ledger
    truth: dict[str, float]
    clock: float


def simulate(
    spec: StudySpec,
    surrogates: dict[str, Surrogates],
    *,
    noise: bool = False,
    cells: Sequence[Cell] | None = None,
    warm_starts: WarmStarts | None = None,
) -> Simulated:
    """Simulate a study from its first trial to the end of its budget.

    All epochs take the same time. Without `search.concurrency`, one trial runs at a time.

    Args:
        spec: the study to simulate; its seed determines every draw.
        surrogates: name of a cell -> its surrogates by metric.
        noise: True to add the residual of a recorded neighbour to each curve.
        cells: cells to use instead of the study's own.
        warm_starts: name of a cell -> suggestions to try first.
    """
    spec = spec.model_copy(update={"confirm": None})  # no curves were recorded for other seeds
    ledger = Ledger(spec, list(cells) if cells is not None else expand(spec), InMemoryStorage(), warm_starts)
    runner = SimulatedRunner(spec, ledger, surrogates, noise=noise)
    runner.run(TrialManager(ledger, _NOWHERE, listener=lambda assignment, ended: None))
    return Simulated(ledger, runner.truth, runner.clock)


class SimulatedRunner:
    """A `TrialRunner` that trains nothing: every trial follows its cell's surrogate, on a clock that counts epochs.

    Attributes:
        truth: as in `Simulated`.
        clock: current time, in epochs of one worker.
    """

    def __init__(self, spec: StudySpec, ledger: Ledger, surrogates: dict[str, Surrogates], *, noise: bool) -> None:
        """Take the study and the surrogates of its cells; ``noise`` as in `simulate`."""
        self._spec, self._ledger, self._surrogates, self._noise = spec, ledger, surrogates, noise
        self._metrics, self._shared = watched_metrics(spec), SharedClock()
        self._events: list[tuple[float, int, _Running]] = []
        self._numbers, self._handed_out = count(), 0
        self.truth: dict[str, float] = {}
        self.clock = 0.0

    def run(self, manager: TrialManager) -> None:
        """Run until the manager hands out no more trials."""
        free = self._spec.search.concurrency or 1
        while True:
            while free and self._hand_out(manager):
                free -= 1
            if not self._events:
                return
            self.clock, _, trial = heapq.heappop(self._events)
            if self._ended(manager, trial):
                free += 1
            else:
                heapq.heappush(self._events, (self.clock + 1, next(self._numbers), trial))

    def _hand_out(self, manager: TrialManager) -> bool:
        """Give a free worker a trial; return False if there is none now."""
        runner_id = str(self._handed_out)
        task = manager.start(runner_id)
        if task is None:
            return False
        self._handed_out += 1
        begin, shared = self._shared.take(task.trial, self.clock, share_prefix=task.share_prefix)
        running = self._running(runner_id, manager.assignment(runner_id), shared)
        heapq.heappush(self._events, (begin + 1, next(self._numbers), running))
        return True

    def _running(self, runner_id: str, assignment: Assignment, shared: SharedEpochs) -> _Running:
        surrogates, params = self._surrogates[assignment.cell.name], assignment.params
        first = surrogates[self._metrics[0]]
        self.truth[assignment.key] = float(first.curve(params)[-1])
        curves = {name: surrogate.curve(params) for name, surrogate in surrogates.items()}
        if self._noise:
            # one neighbour for all metrics, since its curves belong together
            seed = [self._spec.seed, list(self._surrogates).index(assignment.cell.name), assignment.number]
            curves = {n: at.noisy_curve(params, np.random.default_rng(seed)) for n, at in surrogates.items()}
        diverges = first.diverges_after(params)
        return _Running(runner_id, assignment, curves, diverges, shared, shared.adopted)

    def _ended(self, manager: TrialManager, trial: _Running) -> bool:
        """Advance a trial by one epoch; return True if it was the last."""
        if trial.diverges_after is not None and trial.epoch >= trial.diverges_after:
            failure = Failed(f"diverges after {trial.epoch} epochs, as its neighbour did")
            manager.end(trial.runner_id, failure, failed=False)
            return True
        trial.epoch += 1
        report = self._report(trial)
        # a runner does not forward the last report
        if report.finished or manager.report(trial.runner_id, report):
            manager.end(trial.runner_id, report, failed=False)
            return True
        return False

    def _report(self, trial: _Running) -> EpochDone:
        metrics = {name: float(curve[trial.epoch - 1]) for name, curve in trial.curves.items()}
        finished = trial.epoch >= trial.assignment.cell.base.training.epochs
        return EpochDone({"epoch": trial.epoch, **metrics}, trial.shared, finished)
