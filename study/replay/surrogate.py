"""The surrogate of a cell: the metric as a function of the searched params, interpolated from recorded curves."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from search_spaces import Space
from study.search.unit_cube import Floats, unit_point

_LEVEL_VARIANCE = 1e3
"""Prior variance of the unknown mean, in units of the response's variance; large enough for a flat prior."""
_LEAST_FOR_FIT = 6
"""Minimum number of recorded trials to fit length scales and noise; defaults apply below."""
_MOST_FOR_FIT = 300
"""Maximum number of recorded trials in the fit of length scales and noise, whose cost is cubic."""
_NEIGHBOURS = 5
"""Number of nearest recorded trials from which a new trial's noise is drawn."""


@dataclass(frozen=True)
class Curve:
    """The curve of one recorded trial.

    Attributes:
        values: the trial's searched params.
        metric: the metric after every epoch of the budget; NaN after the trial's last epoch.
        diverged: True if the trial ended because its loss or metric was not finite.
    """

    values: dict[str, Any]
    metric: Floats
    diverged: bool = False

    @property
    def length(self) -> int:
        """Number of epochs with a value."""
        return int(np.isfinite(self.metric).sum())


@dataclass(frozen=True)
class LeaveOneOutFit:
    """Leave-one-out accuracy of the surrogate at the last epoch, over complete recorded trials.

    Attributes:
        trials: number of predicted trials.
        error: root mean squared error, in the metric's unit; None below two trials.
        spread: standard deviation of the recorded metric, which is the error of predicting the mean.
        rank_correlation: Spearman's rank correlation of prediction and record; None if undefined.
    """

    trials: int
    error: float | None
    spread: float | None
    rank_correlation: float | None


class Surrogate:
    """Gaussian-process regression of a cell's curves over the unit cube of its space.

    The kernel is a Matern 5/2 with one length scale per coordinate, plus noise. It is fitted once, to the latest epoch
    that half of the trials reached. The regression predicts the first epoch and then each epoch's increment over the
    one before, from the trials that have both. If no trial was pruned, the sum of the increments equals a regression of
    every epoch by itself, because the predictor is linear in the data. If some were pruned, their curves count as far
    as they go and continue like those of their neighbours. A separate regression of a late epoch would see only
    unpruned trials and so overestimate poor regions.

    Scikit-learn provides the kernels and the fit. Its regressor does not predict here: epochs differ in the trials that
    have them, it has no leave-one-out errors, and `normalize_y` would fix a mean that is unknown here.
    """

    def __init__(self, space: Space, curves: Sequence[Curve], epochs: int) -> None:
        """Fit the surrogate.

        Args:
            space: the cell's search space.
            curves: the curves of its recorded trials, at least one with an epoch.
            epochs: the budget of a trial, in epochs.

        Raises:
            ValueError: no curve has an epoch without divergence.
        """
        self.space, self.epochs = space, epochs
        self._diverged = [(unit_point(space, c.values), c.length) for c in curves if c.diverged]
        seen = [curve for curve in curves if curve.length and not curve.diverged]
        if not seen:
            raise ValueError("no curve to interpolate")
        self._points = np.array([unit_point(space, curve.values) for curve in seen]).reshape(len(seen), -1)
        self._curves = np.array([_without_gaps(curve.metric) for curve in seen])
        self._scales, self._noise = _fitted(self._points, self._curves)
        self._fit()

    def _fit(self) -> None:
        increments = np.diff(self._curves, axis=1, prepend=0.0)
        self._weights, missed = np.zeros_like(increments), np.full_like(increments, np.nan)
        covariance = self._covariance(self._points)
        solved: dict[bytes, tuple[Floats, Floats]] = {}
        for epoch in range(self.epochs):
            has = np.isfinite(increments[:, epoch])
            if not has.any():  # no trial reached this epoch: the curve stays constant
                continue
            if has.tobytes() not in solved:
                inside = covariance[np.ix_(has, has)] + self._noise * np.eye(has.sum())
                inverse = cho_solve(cho_factor(inside), np.eye(has.sum()))
                solved[has.tobytes()] = inverse, np.diag(inverse)
            inverse, diagonal = solved[has.tobytes()]
            self._weights[has, epoch] = inverse @ increments[has, epoch]
            # leave-one-out in closed form (Rasmussen and Williams, 2006, eq 5.12)
            missed[has, epoch] = self._weights[has, epoch] / diagonal
        smooth = np.cumsum(covariance @ self._weights, axis=1)
        self._residuals = self._curves - smooth
        self._missed_at_end = missed.sum(axis=1)
        self._low, self._high = float(np.nanmin(self._curves)), float(np.nanmax(self._curves))
        complete = np.isfinite(self._curves[:, -1])
        self._complete = np.flatnonzero(complete if complete.any() else np.isfinite(self._curves[:, 0]))
        self._ends = np.clip(smooth[self._complete, -1], self._low, self._high)

    def _covariance(self, points: Floats) -> Floats:
        level = ConstantKernel(_LEVEL_VARIANCE)
        # without coordinates all points coincide, and no distance is defined
        kernel = Matern(self._scales, nu=2.5) + level if self._scales.size else ConstantKernel(1.0) + level
        return np.asarray(kernel(points, self._points))

    def curve(self, values: dict[str, Any]) -> Floats:
        """Return the noise-free metric after every epoch, clipped to the cell's recorded range."""
        found = np.cumsum(self._covariance(unit_point(self.space, values)[None]) @ self._weights, axis=1)[0]
        return np.asarray(np.clip(found, self._low, self._high))

    def noisy_curve(self, values: dict[str, Any], rng: np.random.Generator) -> Floats:
        """Return the curve plus the residual of one of the nearest complete recorded trials.

        Args:
            values: searched params.
            rng: draws the recorded trial.
        """
        distances = np.linalg.norm((self._points[self._complete] - unit_point(self.space, values)), axis=1)
        nearest = self._complete[np.argsort(distances, kind="stable")[:_NEIGHBOURS]]
        residual = np.nan_to_num(self._residuals[rng.choice(nearest)])
        return np.asarray(np.clip(self.curve(values) + residual, self._low, self._high))

    def diverges_after(self, values: dict[str, Any]) -> int | None:
        """Return the epoch after which the nearest recorded trial diverged, or None if it did not diverge."""
        if not self._diverged:
            return None
        point = unit_point(self.space, values)
        distance, epochs = min((float(np.linalg.norm(place - point)), length) for place, length in self._diverged)
        return epochs if distance < np.linalg.norm(self._points - point, axis=1).min() else None

    def best(self, *, maximize: bool) -> float:
        """Return the best interpolated final value of a complete recorded trial, free of its noise."""
        return float(self._ends.max() if maximize else self._ends.min())

    def trust(self) -> LeaveOneOutFit:
        """Return the surrogate's leave-one-out fit over the complete recorded trials."""
        recorded = self._curves[self._complete, -1]
        told = recorded - self._missed_at_end[self._complete]
        count = int(np.isfinite(told).sum())
        if count < 2:
            return LeaveOneOutFit(count, None, None, None)
        error = float(np.sqrt(np.mean((told - recorded) ** 2)))
        varies = np.ptp(told) > 0 and np.ptp(recorded) > 0 and bool(self.space)
        rank = float(spearmanr(told, recorded).statistic) if varies else None
        return LeaveOneOutFit(count, error, float(np.std(recorded)), rank)


def _without_gaps(metric: Floats) -> Floats:
    """Interpolate missing epochs before the last one, such as those adopted from a shared training."""
    known = np.flatnonzero(np.isfinite(metric))
    filled = np.interp(np.arange(len(metric)), known, metric[known])
    filled[known[-1] + 1 :] = np.nan
    return filled


def _fitted(points: Floats, curves: Floats) -> tuple[Floats, float]:
    """Return the length scales, and the noise variance in units of the response's variance."""
    reached = np.isfinite(curves).sum(axis=0)
    epoch = np.flatnonzero(reached >= max(1, len(curves) / 2))[-1]
    has = np.flatnonzero(np.isfinite(curves[:, epoch]))[:_MOST_FOR_FIT]
    dimensions = points.shape[1]
    if dimensions == 0 or len(has) < _LEAST_FOR_FIT or np.ptp(curves[has, epoch]) == 0:
        return np.full(dimensions, 0.5), 0.1
    shape = Matern(np.full(dimensions, 0.5), (0.1, 20.0), nu=2.5)
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * shape + WhiteKernel(0.1, (1e-3, 2.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length scale at its bound: the param has no effect
        found = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(points[has], curves[has, epoch])
    signal, white = found.kernel_.k1.k1.constant_value, found.kernel_.k2.noise_level
    return np.atleast_1d(found.kernel_.k1.k2.length_scale), float(white / signal)
