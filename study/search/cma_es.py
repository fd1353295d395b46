"""CMA-ES, replayed from the trials in the ledger alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from cmaes import CMA
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search_spaces.dimension import place_between, value_between

Vector = NDArray[np.float64]
_FIRST_WIDTH = 0.3
"""Initial standard deviation, as a fraction of the range: about three of them reach every corner."""
_ATTEMPTS = 100


def to_unit(distribution: BaseDistribution, value: float) -> float:
    """Map a value of a range to [0, 1], on the range's scale."""
    low, high = _widened(distribution)
    return place_between(value, low, high, log=distribution.log)  # type: ignore[attr-defined]  # `_widened` checked it


def from_unit(distribution: BaseDistribution, place: float) -> float:
    """Return the value at a position in [0, 1] of a range; an integer for an integer range."""
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    value = value_between(place, *_widened(distribution), log=distribution.log)
    value = min(max(value, distribution.low), distribution.high)
    return int(min(max(round(value), distribution.low), distribution.high)) if _is_whole(distribution) else value


def _is_whole(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, IntDistribution)


def _widened(distribution: BaseDistribution) -> tuple[float, float]:
    """Return the ends of a range; of an integer range half a step further out, so that all integers are as likely."""
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    half = 0.5 if _is_whole(distribution) else 0.0
    return distribution.low - half, distribution.high + half


def replay(dimensions: int, generations: Iterable[Vector], seed: int) -> CMA:
    """Return the search distribution after generations that lie in the unit cube.

    Points that are improbable under the distribution are pulled towards its mean (Hansen, 2011, "Injecting
    external solutions into CMA-ES", equation 5): presets and transferred params are no draws of it, and concurrent
    trials were drawn before the last update. The package itself treats every point as its own draw.

    Args:
        dimensions: n, the dimension of the unit cube.
        generations: arrays of shape (population, n), best point first.
        seed: the seed of the draws of `CMA.ask`.
    """
    bounds = np.tile([0.0, 1.0], (dimensions, 1))
    optimizer = CMA(np.full(dimensions, 0.5), _FIRST_WIDTH, bounds, n_max_resampling=_ATTEMPTS, seed=seed)
    for points in generations:
        # the package only compares values, so ranks suffice
        optimizer.tell([(point, float(rank)) for rank, point in enumerate(_injected(optimizer, points))])
    return optimizer


def _injected(optimizer: CMA, points: Vector) -> Vector:
    mean, (width, covariance), n = optimizer.mean, spread(optimizer), optimizer.dim
    steps = points - mean
    variances, basis = np.linalg.eigh((covariance + covariance.T) / 2)
    lengths = np.linalg.norm(steps @ basis / np.sqrt(np.maximum(variances, 1e-20)), axis=1) / width
    longest = math.sqrt(n) + 2 * n / (n + 2)
    return np.asarray(mean + steps * np.minimum(1.0, longest / np.maximum(lengths, 1e-20))[:, None])


def spread(optimizer: CMA) -> tuple[float, Vector]:
    """Return sigma and C of the search distribution N(m, sigma^2 C), which the package keeps private."""
    return float(optimizer._sigma), np.asarray(optimizer._C)


class CmaEsSearcher(BaseSampler):
    """Proposes a draw from the distribution that follows from the ended trials, in generations by trial number.

    Optuna's own sampler stores a pickle of its optimizer beside the trials. Nothing in shared storage is unpickled
    here, so the same package's optimizer is updated with the trials again. Choices have no direction to evolve in and
    are drawn at random.
    """

    def __init__(self, distributions: dict[str, BaseDistribution], number: int, seed: int) -> None:
        """Propose trial ``number`` of a cell that searches ``distributions``."""
        numeric = (FloatDistribution, IntDistribution)
        self._space = {name: d for name, d in distributions.items() if isinstance(d, numeric)}
        self._number, self._seed = number, seed
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all ranges."""
        return dict(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Replay the evolution and draw from it."""
        if not self._space:
            return {}
        size = CMA(np.full(len(self._space), 0.5), _FIRST_WIDTH).population_size
        earlier = study.get_trials(deepcopy=False)[: self._number]
        ended = [t for t in earlier if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        generations = (ended[begin : begin + size] for begin in range(0, len(ended) - size + 1, size))
        points = (self._places(ranked(generation, study.direction)) for generation in generations)
        point = replay(len(self._space), points, self._seed).ask()
        return {name: from_unit(d, float(x)) for (name, d), x in zip(self._space.items(), point, strict=True)}

    def _places(self, trials: Sequence[FrozenTrial]) -> Vector:
        return np.array([[to_unit(d, t.params[name]) for name, d in self._space.items()] for t in trials])

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a choice at random."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)


def ranked(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[FrozenTrial]:
    """Return trials from best to worst.

    Complete trials come first, by total constraint violation and then by value. Pruned trials follow, those with the
    most epochs first.
    """
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1

    def place(trial: FrozenTrial) -> tuple[int, float, float]:
        if trial.state == TrialState.COMPLETE:
            total_violation = sum(max(0.0, violation) for violation in trial.constraints.values())
            return 0, total_violation, sign * (trial.value or 0.0)
        last = trial.last_step or 0
        return 1, -last, sign * trial.intermediate_values.get(last, 0.0)

    return sorted(trials, key=place)
