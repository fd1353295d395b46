"""One Gaussian process over params, imbalance ratio, data set and share of the epochs: the model of a method."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from study.search.unit_cube import Floats, Ints

_JITTER = 1e-8
_LEVEL = 4.0
"""Prior variance of the overall level, in units of the variance of the values."""
_DECADE = math.log(10)


@dataclass(frozen=True)
class Rows:
    """Settings with the place where they were trained.

    Attributes:
        points: coordinates in the unit cube, (n, D), as `unit_point` returns them.
        log_ratio: natural logarithm of the imbalance ratio, (n,).
        cell: index of the cell, (n,); each cell has a level and a noise of its own. -1 is a cell without trials.
        task: index of the data set, (n,).
        fidelity: share of the epochs, (n,), in (0, 1].
        trial: index of the training, (n,); rows of one training share its noise. -1 is a setting that is not trained.
    """

    points: Floats
    log_ratio: Floats
    cell: Ints
    task: Ints
    fidelity: Floats
    trial: Ints

    def __len__(self) -> int:
        return len(self.log_ratio)

    def take(self, which: np.ndarray) -> Rows:
        """Return some of the rows."""
        return Rows(*(part[which] for part in self._parts))

    def followed_by(self, other: Rows) -> Rows:
        """Return these rows and then the others."""
        return Rows(*(np.concatenate(pair) for pair in zip(self._parts, other._parts, strict=True)))

    @property
    def _parts(self) -> tuple[np.ndarray, ...]:
        return self.points, self.log_ratio, self.cell, self.task, self.fidelity, self.trial


@dataclass(frozen=True)
class _Param:
    """A hyperparameter: its logarithm is normal a priori, and stays inside hard bounds."""

    centre: float
    width: float
    low: float
    high: float


_LENGTH = _Param(0.2, 0.3, 0.05, 10.0)
"""Length scale of a param, in ranges; the centre is multiplied by the square root of the number of params.

Distances between random points of the cube grow so (Hvarfner et al. 2024, "Vanilla Bayesian Optimization Performs Great
in High Dimensions"). Longer scales make the model surer than it may be: it settles beside a narrow optimum.
"""
_RATIO_LENGTH = _Param(1.0, 0.5, 0.2, 5.0)
"""Length scale of the logarithm of the ratio, in decades."""
_SHARED = _Param(0.8, 1.0, 1e-3, 20.0)
_MOVING = _Param(0.15, 1.0, 1e-4, 20.0)
_RATIO = _Param(0.5, 1.0, 1e-4, 20.0)
_CELL = _Param(0.05, 1.0, 1e-5, 10.0)
_NOISE = _Param(0.02, 1.2, 1e-4, 2.0)
_CELL_NOISE = _Param(1.0, 0.5, 0.05, 20.0)
_GROWTH = _Param(1.0, 0.25, 0.2, 5.0)
_TASK = _Param(0.5, 0.7, 0.01, 10.0)
_EARLY = _Param(0.5, 1.0, 1e-4, 50.0)
_RATE = _Param(3.0, 0.7, 0.3, 30.0)
_EARLY_EPOCH = _Param(0.1, 1.0, 1e-4, 20.0)
_EARLY_NOISE = _Param(0.02, 1.2, 1e-4, 5.0)
_BEFORE = _Param(0.3, 1.0, 1e-4, 20.0)


class RatioModel:
    """Gaussian-process regression of a method's results over all ratios.

    The kernel is a sum of parts, so that each states one belief:

    - ``level``, constant, plus ``ratio``, a smooth function of the log ratio: results fall as the ratio rises;
    - ``cell``, one level per cell, for what differs beside the ratio;
    - ``shared``, a Matern 5/2 over the params: what is good at one ratio is good at all;
    - ``moving``, the same Matern times a squared exponential over the log ratio: how that changes with the ratio.
      Both have the same length scales over the params, one per param (a list of choices has one in all);
    - on several data sets, ``shared`` and ``moving`` of different data sets are correlated by 1 / (1 + ``task``), and
      ``ratio`` and ``cell`` tell their levels apart;
    - ``early``, what is missing before the last epoch: a level, a Matern over the params and a level per cell, times
      (e^(-rate s) - e^(-rate)) / (1 - e^(-rate)) at share s of the epochs, which is 0 at the end; and a level per
      share, for curves of another form. It is left out if all rows are at the end;
    - ``before``, a Matern over the params for rows before the last stage, which trains another loss.

    ``shared`` and ``moving`` grow with the ratio by the factor ``growth`` per decade, since params matter more where
    classes are rarer. Noise is one variance, times a factor per cell with a prior around 1: repeated trainings of a
    setting in a cell speak for the cell, and a cell without any takes the common one. It belongs to the training: all
    rows of one training have the same, and those before the end some more of their own (``early noise``).

    All hyperparameters have weak log-normal priors and are fitted by maximum a posteriori, from one fixed start, so
    that equal rows give equal models.
    """

    def __init__(self, layout: Layout, rows: Rows, values: Floats, log_params: Floats) -> None:
        """Condition on rows with given hyperparameters, as `fit_params` returns them.

        Args:
            layout: what rows may differ in.
            rows: where values are known.
            values: the values, (n,).
            log_params: logarithms of the hyperparameters.

        Raises:
            LinAlgError: the covariance is not positive definite.
        """
        self.layout, self.rows, self.log_params = layout, rows, log_params
        self.centre, self.scale = centre_and_scale(values)
        kernel = _Kernel(layout, log_params)
        covariance = kernel.between(rows, rows)
        kernel.add_noise(covariance, rows)
        self._kernel = kernel
        self._root = cholesky(covariance, lower=True, check_finite=False)
        self._weights = cho_solve((self._root, True), (values - self.centre) / self.scale, check_finite=False)

    def mean(self, rows: Rows) -> Floats:
        """Return the posterior mean of the noise-free value, (m,)."""
        return np.asarray(self.centre + self.scale * (self._kernel.between(rows, self.rows) @ self._weights))

    def predict(self, rows: Rows, pending: Rows | None = None) -> tuple[Floats, Floats]:
        """Return posterior mean and standard deviation of the noise-free value, each (m,).

        Args:
            rows: where to predict.
            pending: trials under way. They count as if each had given its posterior mean: the mean stays, and the
                deviation near them shrinks.
        """
        across = self._kernel.between(rows, self.rows)
        mean = self.centre + self.scale * (across @ self._weights)
        explained = solve_triangular(self._root, across.T, lower=True, check_finite=False)
        variance = self._kernel.diagonal(rows) - np.einsum("ij,ij->j", explained, explained)
        if pending is not None and len(pending):
            _, seen = self._seen(pending, rows, explained)
            variance = variance - np.einsum("ij,ij->j", seen, seen)
        return mean, self.scale * np.sqrt(np.maximum(variance, 1e-10))

    def predict_after(self, own: Rows, values: Floats, rows: Rows) -> tuple[Floats, Floats]:
        """Return mean and standard deviation as `predict` does, after the first epochs of one more training.

        Args:
            own: where the training stood at its epochs, (k,).
            values: what it had reached there, (k,).
            rows: where to predict, (m,).
        """
        across = self._kernel.between(rows, self.rows)
        explained = solve_triangular(self._root, across.T, lower=True, check_finite=False)
        root, seen = self._seen(own, rows, explained)
        surprise = solve_triangular(root, values - self.mean(own), lower=True) / self.scale
        mean = self.centre + self.scale * (across @ self._weights + seen.T @ surprise)
        variance = self._kernel.diagonal(rows) - np.einsum("ij,ij->j", explained, explained)
        variance = variance - np.einsum("ij,ij->j", seen, seen)
        return mean, self.scale * np.sqrt(np.maximum(variance, 1e-10))

    def _seen(self, more: Rows, rows: Rows, explained: Floats) -> tuple[Floats, Floats]:
        """Return the Cholesky factor of more rows, given the model's, and what they explain of others, (k, m)."""
        known = solve_triangular(self._root, self._kernel.between(self.rows, more), lower=True, check_finite=False)
        inside = self._kernel.between(more, more) - known.T @ known
        self._kernel.add_noise(inside, more)
        root = cholesky(inside, lower=True, check_finite=False)
        cross = self._kernel.between(more, rows) - known.T @ explained
        return root, solve_triangular(root, cross, lower=True)

    def noise(self, rows: Rows) -> Floats:
        """Return the standard deviation of the noise of trainings in each row's cell, (m,)."""
        return np.asarray(self.scale * np.sqrt(self._kernel.noise(rows)))


def centre_and_scale(values: Floats) -> tuple[float, float]:
    """Return mean and standard deviation of the values; the deviation of equal values is 1."""
    spread = float(np.std(values))
    return float(np.mean(values)), spread if spread > 0 else 1.0


@dataclass(frozen=True)
class Layout:
    """What a method's rows may differ in; it determines which hyperparameters there are.

    Attributes:
        groups: index of the param to which each coordinate belongs, (D,).
        cells: number of cells.
        tasks: number of data sets.
        early: True if rows may stand before the last epoch.
        last_stage: share of the epochs after which the last stage begins; 0 if there is one stage.
        centre: logarithm of the ratio at which ``growth`` is 1.
    """

    groups: tuple[int, ...]
    cells: int = 1
    tasks: int = 1
    early: bool = False
    centre: float = 0.0
    last_stage: float = 0.0

    @property
    def lengths(self) -> int:
        """Number of searched params."""
        return max(self.groups, default=-1) + 1

    def priors(self) -> dict[str, _Param]:
        """Return name -> prior of every hyperparameter, in the order of the vector."""
        length = replace(_LENGTH, centre=_LENGTH.centre * math.sqrt(max(1, self.lengths)))
        found = {f"length {i}": length for i in range(self.lengths)}
        found |= {"shared": _SHARED, "noise": _NOISE}
        if self.cells > 1:
            found |= {"moving": _MOVING, "ratio": _RATIO, "ratio length": _RATIO_LENGTH}
            found |= {"cell": _CELL, "growth": _GROWTH}
            found |= {f"cell noise {i}": _CELL_NOISE for i in range(self.cells)}
        if self.tasks > 1:
            found["task"] = _TASK
        if self.early:
            found |= {"early level": _EARLY, "early": _EARLY, "early cell": _EARLY, "rate": _RATE}
            found |= {"early epoch": _EARLY_EPOCH, "early noise": _EARLY_NOISE}
        if self.early and self.last_stage:
            found["before"] = _BEFORE
        return found


class _Kernel:
    """The covariance of rows under given hyperparameters."""

    def __init__(self, layout: Layout, log_params: Floats) -> None:
        self.layout = layout
        names = list(layout.priors())
        self.at = {name: i for i, name in enumerate(names)}
        self.value = {name: math.exp(x) for name, x in zip(names, log_params, strict=True)}
        self.lengths = np.exp(log_params[: layout.lengths])

    def between(self, one: Rows, other: Rows) -> Floats:
        """Return the covariance matrix, (n, m)."""
        places = (one.log_ratio, one.cell, one.task, one.fidelity)
        alike = len(one) > 0 and all(np.ptp(part) == 0 for part in places)
        return _Parts(self, one, other, one.take(np.zeros(1, dtype=np.int64)) if alike else one).total

    def parts(self, rows: Rows) -> _Parts:
        """Return the covariance matrix of rows, (n, n), with its parts."""
        return _Parts(self, rows, rows, rows)

    def growth(self, rows: Rows) -> Floats:
        """Return the factor by which params matter at the ratio of each row, (n,)."""
        if self.layout.cells == 1:
            return np.ones(len(rows))
        return np.asarray(self.value["growth"] ** ((rows.log_ratio - self.layout.centre) / _DECADE))

    def ahead(self, rows: Rows) -> Floats:
        """Return how much of the effect of early epochs is left at each row's share of the epochs, (n,)."""
        rate = self.value["rate"]
        return np.asarray((np.exp(-rate * rows.fidelity) - math.exp(-rate)) / -math.expm1(-rate))

    def diagonal(self, rows: Rows) -> Floats:
        """Return the variance of every row, (n,)."""
        value, several = self.value, self.layout.cells > 1
        x = value["shared"] + (value["moving"] if several else 0.0)
        found = _LEVEL + (value["ratio"] + value["cell"] if several else 0.0) + x * self.growth(rows) ** 2
        if self.layout.tasks > 1:
            found = found + value["task"] * _LEVEL / 4
        if self.layout.early and (rows.fidelity < 1).any():
            early = value["early level"] + value["early"] + (value["early cell"] if several else 0.0)
            found = found + early * self.ahead(rows) ** 2 + value["early epoch"] * (rows.fidelity < 1)
            if self.layout.last_stage:
                found = found + value["before"] * self.before(rows)
        return np.asarray(found)

    def before(self, rows: Rows) -> np.ndarray:
        """Return which rows are before the last stage, (n,)."""
        return np.asarray(rows.fidelity <= self.layout.last_stage + 1e-9)

    def add_noise(self, covariance: Floats, rows: Rows) -> None:
        """Add the noise of rows to their covariance, (n, n)."""
        covariance += self.noise(rows)[:, None] * same_training(rows)
        covariance[np.diag_indices(len(rows))] += self.early_noise(rows) + _JITTER * _LEVEL

    def early_noise(self, rows: Rows) -> Floats:
        """Return the variance of what every row has of its own beside the noise of its training, (n,)."""
        return np.asarray(self.value["early noise"] * (rows.fidelity < 1)) if self.layout.early else np.zeros(len(rows))

    def noise(self, rows: Rows) -> Floats:
        """Return the variance of the noise of every row's training, (n,)."""
        if self.layout.cells == 1:
            return np.full(len(rows), self.value["noise"])
        factors = np.array([1.0, *(self.value[f"cell noise {i}"] for i in range(self.layout.cells))])
        return np.asarray(self.value["noise"] * factors[np.asarray(rows.cell) + 1])


def same_training(rows: Rows) -> np.ndarray:
    """Return which rows share their noise, (n, n): those of one training, and each with itself."""
    found = np.equal.outer(rows.trial, rows.trial) & (rows.trial >= 0)
    np.fill_diagonal(found, True)
    return np.asarray(found)


class _Parts:
    """The parts of a covariance matrix, kept for the derivatives."""

    def __init__(self, kernel: _Kernel, one: Rows, other: Rows, places: Rows) -> None:
        """Compute them; ``places`` is ``one``, or one of its rows if all of them differ in their points alone."""
        layout, value = kernel.layout, kernel.value
        several = layout.cells > 1
        groups = np.array(layout.groups)
        self.squares = [
            _squared(one.points[:, groups == g], other.points[:, groups == g]) for g in range(layout.lengths)
        ]
        distance = np.zeros((len(one), len(other)))
        for length, square in zip(kernel.lengths, self.squares, strict=True):
            distance += square / length**2
        root = np.sqrt(5 * distance)
        decay = np.exp(-root)
        self.matern = (1 + root + root**2 / 3) * decay
        self.slope = (1 + root) * decay * (5 / 3)
        """-2 dk / d(distance), so that dk / d(log length) = slope * square / length^2"""
        self.growth = np.multiply.outer(kernel.growth(places), kernel.growth(other))
        self.same_task: Floats | float = 1.0
        if layout.tasks > 1:
            apart = np.not_equal.outer(places.task, other.task)
            self.apart = apart
            self.same_task = np.where(apart, 1 / (1 + value["task"]), 1.0)
        if several:
            self.gap = np.subtract.outer(places.log_ratio, other.log_ratio) / _DECADE
            self.near = np.exp(-(self.gap**2) / (2 * value["ratio length"] ** 2))
            self.same_cell = np.equal.outer(places.cell, other.cell) & (places.cell >= 0)[:, None]
        amplitude = value["shared"] + (value["moving"] * self.near if several else 0.0)
        self.x_factor = amplitude * self.growth * self.same_task
        total = _LEVEL + self.x_factor * self.matern
        early = layout.early and bool((one.fidelity < 1).any() and (other.fidelity < 1).any())
        if several:
            total = total + value["ratio"] * self.near + value["cell"] * self.same_cell
        if layout.tasks > 1:
            total = total + value["task"] * _LEVEL / 4 * ~self.apart
        self.early = np.multiply.outer(kernel.ahead(places), kernel.ahead(other)) if early else None
        if self.early is not None:
            inside = value["early level"] + value["early"] * self.matern
            inside = inside + (value["early cell"] * self.same_cell if several else 0.0)
            self.inside = inside
            self.same_epoch = np.equal.outer(places.fidelity, other.fidelity) & (places.fidelity < 1)[:, None]
            total = total + self.early * inside + value["early epoch"] * self.same_epoch
            if layout.last_stage:
                self.before = np.logical_and.outer(kernel.before(places), kernel.before(other))
                total = total + value["before"] * self.before * self.matern
        self.total = total


def _squared(one: Floats, other: Floats) -> Floats:
    """Return squared Euclidean distances, (n, m); exactly 0 between equal points."""
    found = np.zeros((len(one), len(other)))
    for i in range(one.shape[1]):
        found += np.subtract.outer(one[:, i], other[:, i]) ** 2
    return found


def log_posterior(log_params: Floats, rows: Rows, targets: Floats, layout: Layout) -> tuple[float, Floats]:
    """Return the logarithm of marginal likelihood times prior, and its gradient.

    Args:
        log_params: logarithms of the hyperparameters.
        rows: where values are known.
        targets: the values with mean 0 and deviation 1, (n,).
        layout: the hyperparameters that there are.

    Raises:
        LinAlgError: the covariance is not positive definite.
    """
    kernel = _Kernel(layout, log_params)
    parts, value, n = kernel.parts(rows), kernel.value, len(rows)
    covariance = parts.total.copy()
    kernel.add_noise(covariance, rows)
    root = cholesky(covariance, lower=True, check_finite=False)
    weights = cho_solve((root, True), targets, check_finite=False)
    found = -targets @ weights / 2 - np.log(np.diag(root)).sum() - n * math.log(2 * math.pi) / 2
    pull = (np.multiply.outer(weights, weights) - cho_solve((root, True), np.eye(n), check_finite=False)) / 2

    def along(derivative: npt.NDArray[Any]) -> float:
        return float(np.vdot(pull, derivative))

    slope = np.zeros(len(log_params))

    def put(name: str, amount: float) -> None:
        slope[kernel.at[name]] += amount

    several = layout.cells > 1
    steep = parts.x_factor if parts.early is None else parts.x_factor + value["early"] * parts.early
    if parts.early is not None and layout.last_stage:
        steep = steep + value["before"] * parts.before
    steep = pull * steep * parts.slope
    for g, square in enumerate(parts.squares):
        put(f"length {g}", float(np.vdot(steep, square)) / value[f"length {g}"] ** 2)
    grown = parts.growth * parts.same_task * parts.matern
    put("shared", value["shared"] * along(grown))
    if several:
        put("moving", value["moving"] * along(grown * parts.near))
        put("ratio", value["ratio"] * along(parts.near))
        by_length = parts.near * parts.gap**2 / value["ratio length"] ** 2
        put("ratio length", along(by_length * (value["ratio"] + value["moving"] * grown)))
        put("cell", value["cell"] * along(parts.same_cell))
        exponent = (rows.log_ratio - layout.centre) / _DECADE
        both = np.add.outer(exponent, exponent)
        put("growth", along(parts.x_factor * parts.matern * both))
    if layout.tasks > 1:
        across = np.where(parts.apart, -value["task"] / (1 + value["task"]), 0.0)
        put("task", along(parts.x_factor * parts.matern * across))
        put("task", value["task"] * _LEVEL / 4 * along(~parts.apart))
    if parts.early is not None:
        put("early level", value["early level"] * along(parts.early))
        put("early", value["early"] * along(parts.early * parts.matern))
        if several:
            put("early cell", value["early cell"] * along(parts.early * parts.same_cell))
        put("early epoch", value["early epoch"] * along(parts.same_epoch))
        put("early noise", float(np.diag(pull) @ kernel.early_noise(rows)))
        if layout.last_stage:
            put("before", value["before"] * along(parts.before * parts.matern))
        ahead, by_rate = kernel.ahead(rows), _ahead_by_rate(value["rate"], rows.fidelity)
        turned = np.multiply.outer(ahead, by_rate)
        put("rate", value["rate"] * along((turned + turned.T) * parts.inside))
    by_noise = (pull * same_training(rows)).sum(axis=1) * kernel.noise(rows)
    put("noise", float(by_noise.sum()))
    if several:
        for i in range(layout.cells):
            put(f"cell noise {i}", float(by_noise[np.asarray(rows.cell) == i].sum()))
    priors = list(layout.priors().values())
    centres = np.log([p.centre for p in priors])
    widths = np.array([p.width for p in priors])
    away = (log_params - centres) / widths
    return float(found - away @ away / 2), slope - away / widths


def _ahead_by_rate(rate: float, fidelity: Floats) -> Floats:
    """Return the derivative of `_Kernel.ahead` by its rate."""
    end = math.exp(-rate)
    above, below = np.exp(-rate * fidelity) - end, -math.expm1(-rate)
    return np.asarray((-fidelity * np.exp(-rate * fidelity) + end) / below - above * end / below**2)


def fit_params(layout: Layout, rows: Rows, values: Floats, most_steps: int = 60) -> Floats:
    """Return the logarithms of the hyperparameters with the largest posterior density found from the prior's centre.

    Args:
        layout: what rows may differ in.
        rows: where values are known.
        values: the values, (n,).
        most_steps: steps of the optimizer at most.

    Raises:
        LinAlgError: the covariance is not positive definite at the start.
    """
    centre, scale = centre_and_scale(values)
    targets = (values - centre) / scale
    priors = list(layout.priors().values())
    start = np.log([p.centre for p in priors])
    log_posterior(start, rows, targets, layout)  # raises if nothing can be fitted

    def objective(at: Floats) -> tuple[float, Floats]:
        try:
            found, slope = log_posterior(at, rows, targets, layout)
        except LinAlgError:
            return 1e10, np.zeros_like(at)
        return -found, -slope

    bounds = [(math.log(p.low), math.log(p.high)) for p in priors]
    done = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": most_steps})
    return np.asarray(done.x)
