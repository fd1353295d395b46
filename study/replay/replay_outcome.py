"""Results of a replayed study: per cell, then over seeds with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from study.replay.recorded_curves import Surrogates
from study.replay.simulator import Simulated
from study.store.study_view import cell_view
from trainables.core.metric_names import METRICS

if TYPE_CHECKING:
    from study.store.study_view import CellView, TrialView


@dataclass(frozen=True)
class CellOutcome:
    """Results of one cell in one replay; NaN marks a missing result.

    Attributes:
        trials: number of started trials.
        pruned: number of pruned trials.
        failed: number of failed trials.
        epochs_trained: number of trained epochs; shared ones count for the trial that trained them.
        epochs_saved: number of epochs saved by pruning and sharing.
        best_found: noise-free interpolated final value of the trial that the study selects.
        regret: difference to the best recorded trial's interpolated final value; negative if better than it.
        rank: rank of the selected trial among all started ones by interpolated final value, from 1.
        trials_until: number, from 1, of the first complete trial within the tolerance of the best recorded
            one; the number of trials if there is none.
        reached: 1 if there is such a trial, else 0.
    """

    trials: float
    pruned: float
    failed: float
    epochs_trained: float
    epochs_saved: float
    best_found: float
    regret: float
    rank: float
    trials_until: float
    reached: float


MEASURES = tuple(CellOutcome.__annotations__)
"""Names of all measures."""
_LIMITS = {"reached": (0.0, 1.0), "rank": (1.0,), "trials_until": (1.0,), **dict.fromkeys(("pruned", "failed"), (0.0,))}
"""Lower bound of a measure, and its upper bound if it has one."""
SUMMED = ("trials", "pruned", "failed", "epochs_trained", "epochs_saved")
"""Measures summed over cells; the others are averaged."""


def outcomes(done: Simulated, surrogates: dict[str, Surrogates], tolerance: float) -> dict[str, CellOutcome]:
    """Return name of a cell -> its outcome in a replay.

    Args:
        done: the replay.
        surrogates: name of a cell -> its surrogates by metric.
        tolerance: largest accepted difference to the best recorded trial, in the metric's unit.
    """
    metrics = done.ledger.study.search.metrics
    metric = metrics[0]
    return {
        name: _outcome(
            cell_view(ledger.cell, ledger.trials(), metrics, Path("/nonexistent/replay")),
            done.truth,
            surrogates[name][metric].best(maximize=METRICS[metric][1] == "maximize"),
            tolerance,
        )
        for name, ledger in done.ledger.cells.items()
    }


def _outcome(view: CellView, truth: dict[str, float], target: float, tolerance: float) -> CellOutcome:
    sign, counts, chosen = (1 if view.maximize else -1), view.counts(), view.best()

    def short_by(trial: TrialView) -> float:
        return sign * (target - truth[trial.key])

    near = [t.number + 1 for t in view.in_state("COMPLETE") if short_by(t) <= tolerance]
    ahead = [] if chosen is None else [t for t in view.trials if short_by(t) < short_by(chosen)]
    return CellOutcome(
        trials=len(view.trials),
        pruned=counts["PRUNED"],
        failed=counts["FAIL"],
        epochs_trained=view.epochs_trained(),
        epochs_saved=view.epochs_saved(),
        best_found=math.nan if chosen is None else truth[chosen.key],
        regret=math.nan if chosen is None else short_by(chosen),
        rank=math.nan if chosen is None else 1 + len(ahead),
        trials_until=min(near, default=len(view.trials)),
        reached=float(bool(near)),
    )


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % confidence interval (Student's t); a single seed has no interval."""

    mean: float | None
    low: float | None
    high: float | None


def estimate(values: Iterable[float], least: float = -math.inf, most: float = math.inf) -> Estimate:
    """Estimate a mean. NaN values are left out, and the interval is clipped to the possible range.

    >>> estimate([1.0, 2.0, 3.0])
    Estimate(mean=2.0, low=-0.48..., high=4.48...)
    """
    known = np.array([value for value in values if math.isfinite(value)])
    if not len(known):
        return Estimate(None, None, None)
    mean = float(known.mean())
    if len(known) == 1:
        return Estimate(mean, None, None)
    half = float(student.ppf(0.975, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return Estimate(mean, max(least, mean - half), min(most, mean + half))


def over_seeds(replays: Sequence[dict[str, CellOutcome]], cell: str) -> dict[str, Estimate]:
    """Estimate every measure of one cell."""
    return {
        name: estimate((getattr(found[cell], name) for found in replays), *_LIMITS.get(name, ())) for name in MEASURES
    }


def in_all(replays: Sequence[dict[str, CellOutcome]]) -> dict[str, Estimate]:
    """Estimate every measure of the whole study: `SUMMED` over its cells, the others averaged."""
    whole = [{name: _whole(name, found) for name in MEASURES} for found in replays]
    return {name: estimate((one[name] for one in whole), *_LIMITS.get(name, ())) for name in MEASURES}


def _whole(name: str, cells: dict[str, CellOutcome]) -> float:
    known = [float(value) for cell in cells.values() if math.isfinite(value := getattr(cell, name))]
    if name in SUMMED:
        return sum(known)
    return sum(known) / len(known) if known else math.nan
