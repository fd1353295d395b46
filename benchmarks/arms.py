"""Replay search settings (arms) over many seeds in several processes, and compare them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from study.replay.recorded_curves import Surrogates
from study.replay.replay_outcome import CellOutcome, Estimate, estimate, outcomes
from study.replay.simulator import simulate
from study.spec.cell import Cell, expand
from study.spec.study_spec import StudySpec

Replay = dict[str, CellOutcome]
TOLERANCE = 0.005
"""Largest distance from the best recorded trial that counts as near, in the metric's unit."""


class BlindCell(Cell):
    """A cell whose pruner ignores the change of stage and judges from the first epoch."""

    @property
    def pruning_start_epoch(self) -> int:
        """Return 0: the pruner waits for no epoch."""
        return 0


@dataclass(frozen=True)
class Arm:
    """One setting: a study, and whether its pruner ignores the change of stage."""

    spec: StudySpec
    blind: bool = False


def replay_arm(arm: Arm, surrogates: dict[str, Surrogates], tolerance: float, seed: int) -> Replay:
    """Replay an arm once, with noise, after adding ``seed`` to its seed."""
    spec = arm.spec.model_copy(update={"seed": arm.spec.seed + seed})
    cells = expand(spec)
    cells = [BlindCell(**vars(cell)) for cell in cells] if arm.blind else cells
    return outcomes(simulate(spec, surrogates, noise=True, cells=cells), surrogates, tolerance)


def workers(jobs: int) -> Executor:
    """Return an executor with ``jobs`` processes; a single job runs in a thread, which repeats no import."""
    return ThreadPoolExecutor(1) if jobs == 1 else ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))


def replay_arms(
    arms: dict[str, Arm], surrogates: dict[str, Surrogates], *, seeds: int, jobs: int, tolerance: float = TOLERANCE
) -> dict[str, list[Replay]]:
    """Replay every arm over the same seeds.

    Args:
        arms: name -> arm.
        surrogates: cell name -> surrogates by metric.
        seeds: number of replays per arm.
        jobs: number of processes.
        tolerance: largest distance from the best recorded trial that counts as near, in the metric's unit.
    """
    with workers(jobs) as pool:
        return {
            name: list(pool.map(partial(replay_arm, arm, surrogates, tolerance), range(seeds)))
            for name, arm in arms.items()
        }


def mean_of(replay: Replay, measure: str, keep: Callable[[str], bool] = lambda cell: True) -> float:
    """Return the mean of a measure over the cells for which ``keep`` is true."""
    values = [float(getattr(outcome, measure)) for cell, outcome in replay.items() if keep(cell)]
    return sum(values) / len(values)


def difference(first: Iterable[float], second: Iterable[float]) -> Estimate:
    """Estimate the mean of first minus second, paired by seed."""
    return estimate(a - b for a, b in zip(first, second, strict=True))


def said(found: Estimate, form: str = "{:.2f}") -> str:
    """Format an estimate with its interval."""
    if found.mean is None:
        return "unknown"
    if found.low is None or found.high is None:
        return form.format(found.mean)
    return f"{form.format(found.mean)} [{form.format(found.low)}, {form.format(found.high)}]"
