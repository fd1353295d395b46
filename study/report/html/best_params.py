"""The best value of a hyperparameter in a cell, how uncertain it is, and how it moves with the imbalance ratio."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces import Choices, Dimension
from study.store.study_view import CellView, TrialView

Floats = npt.NDArray[np.float64]

ONE_SIDED = 1.645
"""Quantile .95 of the normal distribution."""
FEWEST_FOR_TREND = 8
"""Fewest complete trials for a trend; with fewer it would follow single trials."""
_MOST_FOR_TREND = 150
_POINTS = 41
_DRAWS = 400
_LENGTHS, _NOISES = (0.1, 0.2, 0.4, 0.8, 2.0), (0.05, 0.2, 0.6, 1.5)


def height(dimension: Dimension, value: Any) -> float:
    """Return where a value lies on its search scale, from 0 to 1, larger values higher."""
    place = dimension.to_unit(value)
    return 1 - place if not isinstance(dimension, Choices) and dimension.descending else place


def value_at(dimension: Dimension, place: float) -> Any:
    """Return the value at a height; the inverse of `height`."""
    return dimension.from_unit(1 - place if not isinstance(dimension, Choices) and dimension.descending else place)


def written(value: Any, dimension: Dimension | None = None) -> str:
    """Write a value with at most three significant digits, or as it is if it is no number.

    Args:
        value: a param's value.
        dimension: its range; on a scale that is logarithmic in 1 - x, the digits are those of 1 - x.

    >>> written(0.0123456), written(-18.576), written(True), written(128)
    ('0.0123', '-18.6', 'True', '128')
    >>> from search_spaces import Range
    >>> written(0.9999, Range(low=0.9, high=0.99999, scale="log-complement"))
    '0.9999'
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return str(value)
    if not isinstance(dimension, Choices) and dimension is not None and dimension.scale == "log-complement":
        digits = 1 - math.floor(math.log10(max(1e-12, 1 - value)))
        return f"{value:.{max(1, digits)}f}".rstrip("0").rstrip(".")
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


@dataclass(frozen=True)
class Trend:
    """A regression of a cell's results on one param: mean and 80 % band of the trend, and where it is best.

    All positions are heights (`height`), all results in the metric's unit.
    """

    at: Floats
    mean: Floats
    low: Floats
    high: Floats
    best: float
    best_low: float
    best_high: float


@dataclass(frozen=True)
class BestValue:
    """The best value of one param in one cell.

    Attributes:
        ratio: the cell's imbalance ratio.
        dimension: the param's range.
        best: value of the best trial.
        level: values of the trials whose result lies within noise of the best, sorted.
        trials: number of complete trials.
        noise: standard deviation of a result from seed to seed, in the metric's unit.
        noise_source: ``seeds`` or ``images``.
        trend: the regression, or None with too few trials or for a list of choices.
    """

    ratio: float
    dimension: Dimension
    best: Any
    level: tuple[Any, ...]
    trials: int
    noise: float
    noise_source: str
    trend: Trend | None

    @property
    def interval(self) -> tuple[float, float]:
        """Heights of the lowest and the highest value within noise of the best."""
        places = [height(self.dimension, value) for value in self.level]
        return min(places), max(places)

    @property
    def interval_text(self) -> str:
        """The interval in words; the values themselves for a list of choices."""
        if isinstance(self.dimension, Choices):
            return ", ".join(dict.fromkeys(map(written, self.level)))
        low, high = (written(value_at(self.dimension, place), self.dimension) for place in self.interval)
        return low if low == high else f"{low} to {high}"

    @property
    def best_text(self) -> str:
        """The value of the best trial."""
        return written(self.best, self.dimension)

    @property
    def trend_text(self) -> str:
        """The value at the best point of the trend, with its 80 % interval."""
        if self.trend is None:
            return ""
        best, low, high = (
            written(value_at(self.dimension, place), self.dimension)
            for place in (self.trend.best, self.trend.best_low, self.trend.best_high)
        )
        return f"{best} ({low} to {high})"


@dataclass(frozen=True)
class Movement:
    """The best values of one param of a method over the ratios of one data set and family, by rising ratio."""

    dataset: str
    family: str
    method: str
    param: str
    values: tuple[BestValue, ...]

    @property
    def name(self) -> str:
        """The param without the prefix of training params."""
        return self.param.removeprefix("training.")

    @property
    def direction(self) -> str:
        """``rises`` or ``falls`` if the intervals of the smallest and the largest ratio do not overlap, else empty."""
        if len(self.values) < 2 or isinstance(self.values[0].dimension, Choices):
            return ""
        first, last = self.values[0].interval, self.values[-1].interval
        if not all(self._is_known(value) for value in (self.values[0], self.values[-1])):
            return ""
        return "rises" if last[0] > first[1] else "falls" if last[1] < first[0] else ""

    @staticmethod
    def _is_known(value: BestValue) -> bool:
        return value.trials >= FEWEST_FOR_TREND

    @property
    def verdict(self) -> str:
        """Says if the best value differs between the smallest and the largest ratio."""
        if len(self.values) < 2:
            return "one ratio shows no movement"
        if self.direction:
            first, last = self.values[0], self.values[-1]
            how = "higher" if self.direction == "rises" else "lower"
            return f"{how} at ratio {last.ratio:g} than at {first.ratio:g}, beyond noise"
        if all(map(self._is_known, self.values)):
            return "no movement beyond noise"
        return f"too few trials to say (under {FEWEST_FOR_TREND} complete)"


def best_value(cell: CellView, param: str) -> BestValue | None:
    """Return the best value of a param in a cell; None without a complete trial that has a finite result."""
    complete = _complete(cell)
    best = cell.best()
    if best is None or not complete:
        return None
    noise, source = noise_of(cell)
    reach = ONE_SIDED * math.sqrt(2) * noise
    top = best.value if best.value is not None else math.nan
    sign = 1 if cell.maximize else -1
    level = [trial.params[param] for trial in complete if sign * (top - (trial.value or 0.0)) <= reach]
    dimension = cell.cell.space[param]
    level = sorted([*level, best.params[param]], key=lambda value: height(dimension, value))
    trend = None if isinstance(dimension, Choices) else trend_of(cell, param)
    return BestValue(cell.cell.ratio, dimension, best.params[param], tuple(level), len(complete), noise, source, trend)


def _complete(cell: CellView) -> list[TrialView]:
    found = cell.in_state("COMPLETE")
    return [trial for trial in found if trial.value is not None and math.isfinite(trial.value)]


def noise_of(cell: CellView) -> tuple[float, str]:
    """Return the standard deviation of a result on validation images, and its source.

    Where the cell is confirmed, it is that of the confirmation trials of one setting on the validation images, pooled
    over settings (``seeds``). Else it is the standard error of the mean recall over the validation images (``images``),
    which leaves out the seeds; 0 for a metric that is no recall.
    """
    groups: dict[str, list[float]] = {}
    for trial in cell.confirming:
        if trial.state == "COMPLETE" and trial.value is not None and math.isfinite(trial.value):
            groups.setdefault(str(sorted(trial.params.items())), []).append(trial.value)
    pooled = [(len(values) - 1, statistics.variance(values)) for values in groups.values() if len(values) > 1]
    if pooled:
        return math.sqrt(sum(n * variance for n, variance in pooled) / sum(n for n, _ in pooled)), "seeds"
    best = cell.best()
    stored = None if best is None else best.evaluation()
    if stored is None or cell.metric in ("loss", "train_loss", "false_positive_distance"):
        return 0.0, "images"
    confusion = np.asarray(stored["confusion"], dtype=np.float64)
    images = confusion.sum(axis=1)
    # a recall of 0 or 1 would have no error: one image more of either kind
    recall = (np.diag(confusion) + 1) / (images + 2)
    return float(np.sqrt((recall * (1 - recall) / np.maximum(images, 1)).sum()) / len(images)), "images"


def trend_of(cell: CellView, param: str) -> Trend | None:
    """Regress the results of a cell's complete trials on one param; None with fewer than 8 trials or equal results.

    A Gaussian process with a Matern kernel (nu 2.5) on the search scale; its length and its noise are those of a grid
    that explain the results best. Other params act as noise. The best value is the median, over draws of the trend, of
    the place where it is best; the interval holds the middle 80 % of these places.
    """
    complete = _complete(cell)[-_MOST_FOR_TREND:]
    dimension = cell.cell.space[param]
    points = np.array([height(dimension, trial.params[param]) for trial in complete])
    results = np.array([trial.value for trial in complete], dtype=np.float64)
    if len(complete) < FEWEST_FOR_TREND or np.ptp(results) == 0 or np.ptp(points) == 0:
        return None
    return fitted_trend(tuple(points.tolist()), tuple(results.tolist()), cell.maximize)


@lru_cache(maxsize=4096)
def fitted_trend(points: tuple[float, ...], results: tuple[float, ...], maximize: bool) -> Trend:
    """Fit the trend of results at points from 0 to 1 (see `trend_of`)."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    x, y = np.asarray(points)[:, None], np.asarray(results)
    at = np.linspace(0, 1, _POINTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = [
            GaussianProcessRegressor(
                Matern(length, "fixed", nu=2.5), alpha=noise, optimizer=None, normalize_y=True
            ).fit(x, y)
            for length in _LENGTHS
            for noise in _NOISES
        ]
        chosen = max(fits, key=lambda fit: fit.log_marginal_likelihood_value_)
        mean, covariance = chosen.predict(at[:, None], return_cov=True)
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0))
    draws = np.random.default_rng(0).multivariate_normal(mean, covariance, _DRAWS, method="eigh")
    peaks = at[draws.argmax(axis=1) if maximize else draws.argmin(axis=1)]
    low, middle, high = np.quantile(peaks, [0.1, 0.5, 0.9])
    return Trend(at, mean, mean - 1.2816 * deviation, mean + 1.2816 * deviation, float(middle), float(low), float(high))


def movements_of(cells: Sequence[tuple[tuple[str, str], CellView]]) -> list[Movement]:
    """Return the movement of every searched param, methods' own params before those of the training.

    Args:
        cells: (data set, family) -> cell, one per ratio and method; folds are left out by the caller.
    """
    found: dict[tuple[str, str, str, str], list[BestValue]] = {}
    for (dataset, family), cell in sorted(cells, key=lambda one: one[1].cell.ratio):
        for param in cell.cell.space:
            value = best_value(cell, param)
            if value is not None:
                found.setdefault((dataset, family, cell.cell.method, param), []).append(value)
    moves = [Movement(*key, tuple(values)) for key, values in found.items()]
    return sorted(moves, key=lambda move: move.param.startswith("training."))
