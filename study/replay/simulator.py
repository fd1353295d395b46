"""Drive the ledger and the book of a study as Ray Tune does, with interpolated curves in place of training."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from optuna.storages import InMemoryStorage

from study.driver.trial_manager import TrialManager
from study.ledger.cell_ledger import Assignment
from study.ledger.study_ledger import Ledger
from study.replay.recorded_curves import Surrogates, watched_metrics
from study.replay.shared_clock import SharedClock
from study.replay.unit_cube import Floats
from study.spec.cell import Cell, expand
from study.spec.study_spec import StudySpec
from study.store.warm_start import WarmStarts
from trainables.core.config import TrialConfig

_NOWHERE = Path("/nonexistent/replay")
"""The study's folder: a replayed trial has no files."""


@dataclass
class _Running:
    """A trial that a worker has at hand; ``epoch`` is the last one it finished."""

    tune_id: str
    assignment: Assignment
    curves: dict[str, Floats]
    diverges_after: int | None
    shared: dict[str, int]
    epoch: int


@dataclass(frozen=True)
class Simulated:
    """A study that ran on made curves.

    Attributes:
        ledger: what it left behind.
        truth: trial's key -> the deciding metric at the last epoch without noise, also of pruned trials.
        clock: when the last trial ended, in epochs of one worker.
    """

    ledger: Ledger
    truth: dict[str, float]
    clock: float


def simulate(
    spec: StudySpec,
    landscapes: dict[str, Surrogates],
    *,
    noise: bool = False,
    cells: Sequence[Cell] | None = None,
    warm_starts: WarmStarts | None = None,
) -> Simulated:
    """Run a study from its first trial to the end of its budget.

    Every epoch of every trial takes the same time. A study that does not say how many trials run at a time runs one.

    Args:
        spec: the study as it is to run; its seed decides everything that is drawn.
        landscapes: cell's name -> its landscapes by metric.
        noise: whether a trial sees what a neighbour had beyond the smooth curve.
        cells: in place of the study's own.
        warm_starts: what cells try first of earlier studies.
    """
    spec = spec.model_copy(update={"confirm": None})  # of other seeds nothing was recorded
    ledger = Ledger(spec, list(cells) if cells is not None else expand(spec), InMemoryStorage(), warm_starts)
    return _Simulation(spec, ledger, landscapes, noise=noise).run()


class _Simulation:
    def __init__(self, spec: StudySpec, ledger: Ledger, landscapes: dict[str, Surrogates], *, noise: bool) -> None:
        self._spec, self._ledger, self._landscapes, self._noise = spec, ledger, landscapes, noise
        self._manager = TrialManager(ledger, _NOWHERE, listener=self._listen)
        self._metrics, self._shared = watched_metrics(spec), SharedClock()
        self._events: list[tuple[float, int, _Running]] = []
        self._numbers, self._handed_out = count(), 0
        self._told: Assignment | None = None
        self._truth: dict[str, float] = {}

    def run(self) -> Simulated:
        free, now = self._spec.search.concurrency or 1, 0.0
        while True:
            while free and self._hand_out(now):
                free -= 1
            if not self._events:
                return Simulated(self._ledger, self._truth, now)
            now, _, trial = heapq.heappop(self._events)
            if self._ended(trial):
                free += 1
            else:
                heapq.heappush(self._events, (now + 1, next(self._numbers), trial))

    def _listen(self, assignment: Assignment, ended: bool) -> None:
        self._told = assignment

    def _hand_out(self, now: float) -> bool:
        """Give a free worker a trial, if there is one now."""
        tune_id = str(self._handed_out)
        config = self._manager.start(tune_id)
        if config is None:
            return False
        assert self._told is not None  # the book tells of every trial it hands out
        self._handed_out += 1
        trial = TrialConfig.model_validate(config["trial"])
        begin, shared = self._shared.take(trial, now, share_prefix=bool(config["share_opening"]))
        running = self._running(tune_id, self._told, shared)
        heapq.heappush(self._events, (begin + 1, next(self._numbers), running))
        return True

    def _running(self, tune_id: str, assignment: Assignment, shared: dict[str, int]) -> _Running:
        landscapes, values = self._landscapes[assignment.cell.name], assignment.params
        first = landscapes[self._metrics[0]]
        self._truth[assignment.key] = float(first.curve(values)[-1])
        curves = {name: landscape.curve(values) for name, landscape in landscapes.items()}
        if self._noise:
            # the same neighbour for every metric: its curves belong together
            seed = [self._spec.seed, list(self._landscapes).index(assignment.cell.name), assignment.number]
            curves = {n: at.noisy_curve(values, np.random.default_rng(seed)) for n, at in landscapes.items()}
        diverges = first.diverges_after(values)
        return _Running(tune_id, assignment, curves, diverges, shared, shared["adopted"])

    def _ended(self, trial: _Running) -> bool:
        """Let a trial finish an epoch; tell whether that was its last."""
        if trial.diverges_after is not None and trial.epoch >= trial.diverges_after:
            failure = {"failure": f"diverges after {trial.epoch} epochs, as its neighbour did", "done": True}
            self._manager.end(trial.tune_id, failure, failed=False)
            return True
        trial.epoch += 1
        result = self._result(trial)
        # Tune does not ask its scheduler about a last result
        if result["done"] or self._manager.result(trial.tune_id, result):
            self._manager.end(trial.tune_id, result, failed=False)
            return True
        return False

    def _result(self, trial: _Running) -> dict[str, Any]:
        metrics = {f"record/{name}": float(curve[trial.epoch - 1]) for name, curve in trial.curves.items()}
        shared = {f"shared/{name}": epochs for name, epochs in trial.shared.items()}
        last = trial.epoch >= trial.assignment.cell.base.training.epochs
        return {"record/epoch": trial.epoch, **metrics, **shared, "done": last}
