"""The fitted model of a method over all ratios: what a setting is expected to reach in a cell, and how surely."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from optuna.trial import TrialState
from scipy.linalg import LinAlgError
from scipy.special import ndtr

from study.search.ratio_evidence import NO_COMPRESSION, Compression, Evidence, Observation
from study.search.ratio_model import Layout, RatioModel, Rows, fit_params
from study.search.unit_cube import Floats, Ints, unit_point

MOST_FITTED = 256
"""Largest number of rows to which hyperparameters are fitted; the cost of a step is cubic."""
MOST_ROWS = 1500
"""Largest number of rows that a model holds."""
_FIRST_FIT, _GROWTH = 8, 1.5
_KEPT_FITS = 256
"""Fits that a process keeps: some for each method of a study."""

_fits: OrderedDict[bytes, Floats] = OrderedDict()


class MethodModel:
    """What a method's trials tell about settings that were not tried, at any ratio and share of the epochs.

    Hyperparameters are those of the trials that ended first, whose number grows by half from fit to fit, or of all
    trials while the first ones have the same value. Values are compressed far below the best of their cell
    (`Compression`); `expect` undoes this.

    Attributes:
        evidence: the trials.
        process: the Gaussian process over compressed values.
    """

    def __init__(
        self,
        evidence: Evidence,
        focus: int = 0,
        observe: Callable[[int | None], Observation] | None = None,
        *,
        compress: bool = True,
    ) -> None:
        """Fit the model.

        Args:
            evidence: the trials.
            focus: index of a cell that is kept whole where there are more than `MOST_ROWS` rows.
            observe: returns the values of the first trials to end; None takes the objective.
            compress: False leaves the values as they are.

        Raises:
            NothingToFit: there are fewer than two values, they are equal, or the covariance cannot be factorised.
        """
        observe = observe or evidence.observation
        whole, early = observe(None), observe(fit_size(evidence.ended))
        if not _differ(early):  # the next fit may be many trials away
            early = whole
        if not _differ(early):
            raise NothingToFit
        self.evidence = evidence
        cells = evidence.layout.cells
        self._compression = Compression.of(whole.values, whole.rows, cells) if compress else NO_COMPRESSION
        past = Compression.of(early.values, early.rows, cells) if compress else NO_COMPRESSION
        early = Observation(early.rows, past.of_values(early.values, early.rows.cell))
        kept = _kept(whole, focus)
        rows = whole.rows.take(kept)
        values = self._compression.of_values(whole.values, whole.rows.cell)[kept]
        try:
            self.process = RatioModel(evidence.layout, rows, values, fitted(evidence.layout, early))
        except LinAlgError as error:
            raise NothingToFit from error

    def expect(self, params: Sequence[Mapping[str, Any]], cell: str, share: float = 1.0) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the noise-free metric of settings in a cell, each (m,).

        Args:
            params: natural params of every setting.
            cell: name of the cell.
            share: share of the epochs after which the metric is asked for, in (0, 1].

        Raises:
            ValueError: no cell has that name, or the share is outside (0, 1].
        """
        rows = self.evidence.rows_at(self._points(params), self.evidence.index(cell), _checked_share(share))
        mean, deviation = self._compression.undone(*self.process.predict(rows), rows.cell)
        return self.evidence.goal.sign * mean, deviation

    def expect_at(
        self, params: Sequence[Mapping[str, Any]], ratio: float, task: str, share: float = 1.0
    ) -> tuple[Floats, Floats]:
        """Return mean and standard deviation as `expect` does, at a ratio that need not have been trained.

        Settings far below the best are expected too high: there is no best to undo the compression from.

        Args:
            params: natural params of every setting.
            ratio: the imbalance ratio.
            task: data set and kind of profile, as `CellTrials.task` names it.
            share: share of the epochs.

        Raises:
            ValueError: no cell has that data set, the share is outside (0, 1], or the ratio is not a finite number of
                at least 1.
        """
        mean, deviation = self.process.predict(self._rows_between(params, ratio, task, share))
        return self.evidence.goal.sign * mean, deviation

    def _rows_between(self, params: Sequence[Mapping[str, Any]], ratio: float, task: str, share: float) -> Rows:
        if not (math.isfinite(ratio) and ratio >= 1):
            raise ValueError(f"ratio must be a finite number of at least 1, got {ratio}")
        points = self._points(params)
        count = len(points)
        return Rows(
            points,
            np.full(count, math.log(ratio)),
            np.full(count, -1),
            np.full(count, self.evidence.task(task)),
            np.full(count, _checked_share(share)),
            np.full(count, -1),
        )

    def satisfied_at(self, params: Sequence[Mapping[str, Any]], ratio: float, task: str) -> np.ndarray:
        """Return which settings, (m,), are expected to satisfy a constraint at a ratio, by a model of `violations`."""
        return np.asarray(self.process.mean(self._rows_between(params, ratio, task, 1.0)) >= 0)

    def chance_to_beat(self, rivals: Floats, cell: int, curve: Observation) -> float:
        """Return the chance that a running trial ends above every rival, all without the noise of their trainings.

        Args:
            rivals: settings of the cell in the unit cube, (m, D). Each counts with its expected value.
            cell: index of the cell.
            curve: what the trial has reached, k > 0 epochs.
        """
        best = float(self.process.mean(self.evidence.rows_at(rivals, cell)).max())
        values = self._compression.of_values(curve.values, curve.rows.cell)
        end = self.evidence.rows_at(curve.rows.points[:1], cell)
        mean, deviation = self.process.predict_after(curve.rows, values, end)
        return float(ndtr((mean[0] - best) / deviation[0]))

    def _points(self, params: Sequence[Mapping[str, Any]]) -> Floats:
        return np.array([unit_point(self.evidence.space, dict(one)) for one in params]).reshape(
            len(params), len(self.evidence.layout.groups)
        )


def _differ(observation: Observation) -> bool:
    return len(observation.values) > 1 and bool(np.ptp(observation.values) > 0)


class NothingToFit(ValueError):
    """The trials do not determine a model yet."""


def _checked_share(share: float) -> float:
    if not 0 < share <= 1:
        raise ValueError(f"share of the epochs must be above 0 and at most 1, got {share}")
    return share


def constraint_models(evidence: Evidence, focus: int = 0) -> Iterator[MethodModel]:
    """Yield a model of each constraint's slack; one that all trials satisfy or break by the same amount has none."""
    trials = (trial for cell in evidence.cells for trial in cell.trials if trial.state == TrialState.COMPLETE)
    for name in sorted({name for trial in trials for name in trial.constraints}):
        with suppress(NothingToFit):
            yield MethodModel(evidence, focus, partial(evidence.violations, name), compress=False)


def fit_size(ended: int) -> int:
    """Return the number of trials, the first to end, to which hyperparameters are fitted.

    It grows by half from fit to fit, so that few fits are needed and each holds until the next.

    >>> [fit_size(ended) for ended in (5, 8, 11, 12, 100)]
    [5, 8, 8, 12, 90]
    """
    if ended < _FIRST_FIT:
        return ended
    size = float(_FIRST_FIT)
    while int(size * _GROWTH) <= ended:
        size = int(size * _GROWTH)
    return int(size)


def fitted(layout: Layout, observation: Observation) -> Floats:
    """Return the hyperparameters of a model of these values.

    They follow from the rows alone. The process keeps the latest results, which saves time and changes nothing.

    Raises:
        LinAlgError: the covariance is not positive definite.
    """
    rows, values = observation.rows, observation.values
    if len(rows) > MOST_FITTED:
        some = np.linspace(0, len(rows) - 1, MOST_FITTED).astype(int)
        rows, values = rows.take(some), values[some]
    digest = hashlib.sha256(repr(layout).encode())
    for part in (rows.points, rows.log_ratio, rows.cell, rows.task, rows.fidelity, rows.trial, values):
        digest.update(np.ascontiguousarray(part, dtype=np.float64).tobytes())
    key = digest.digest()
    if key not in _fits:
        _fits[key] = fit_params(layout, rows, values)
        while len(_fits) > _KEPT_FITS:
            _fits.popitem(last=False)
    _fits.move_to_end(key)
    return _fits[key]


def _kept(whole: Observation, cell: int) -> Ints:
    """Return the rows to condition on: the cell's own, then those of the nearest ratios, the best of each first."""
    rows = whole.rows
    if len(rows) <= MOST_ROWS:
        return np.arange(len(rows))
    here = rows.log_ratio[rows.cell == cell]
    away = np.abs(rows.log_ratio - here[0]) if len(here) else np.zeros(len(rows))
    order = np.lexsort((-whole.values, rows.cell, away, rows.cell != cell))
    return np.sort(order[:MOST_ROWS])
