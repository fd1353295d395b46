"""CMA-ES, replayed from the ledger's values alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

Vector = NDArray[np.float64]
_FIRST_WIDTH = 0.3
"""Standard deviation at the beginning, in lengths of the range: about three of them reach every corner."""
_ATTEMPTS = 100


def to_unit(distribution: BaseDistribution, value: float) -> float:
    """Place a value of a range in [0, 1], on the range's scale."""
    low, high, log = _ends(distribution)
    return (math.log(value) - low) / (high - low) if log else (value - low) / (high - low)


def from_unit(distribution: BaseDistribution, place: float) -> float:
    """Return the value of a range at a place in [0, 1]; whole where the range is."""
    low, high, log = _ends(distribution)
    value = low + (high - low) * place
    value = math.exp(value) if log else value
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    value = min(max(value, distribution.low), distribution.high)
    return int(min(max(round(value), distribution.low), distribution.high)) if _is_whole(distribution) else value


def _is_whole(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, IntDistribution)


def _ends(distribution: BaseDistribution) -> tuple[float, float, bool]:
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    half = 0.5 if _is_whole(distribution) else 0.0  # so that the ends are as likely as what lies between
    low, high = distribution.low - half, distribution.high + half
    return (math.log(low), math.log(high), True) if distribution.log else (low, high, False)


class Evolution:
    """Mean, width and covariance of the search distribution in the unit cube.

    As in Hansen, 2016, "The CMA evolution strategy: a tutorial". Steps to the points of a generation are cut to a
    length that the distribution could have drawn (Hansen, 2011, "Injecting external solutions into CMA-ES"):
    presets and transferred values come from elsewhere, and trials that ran side by side were drawn before the
    last update.
    """

    def __init__(self, dimensions: int) -> None:
        n = self._n = dimensions
        self.population = 4 + int(3 * math.log(n))
        raw = math.log((self.population + 1) / 2) - np.log(np.arange(1, self.population // 2 + 1))
        self._weights: Vector = raw / raw.sum()
        mass = self._mass = float(1 / (self._weights**2).sum())
        self._path_rate = (mass + 2) / (n + mass + 5)
        self._damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (n + 1)) - 1) + self._path_rate
        self._rank_path_rate = (4 + mass / n) / (n + 4 + 2 * mass / n)
        self._one = 2 / ((n + 1.3) ** 2 + mass)
        self._many = min(1 - self._one, 2 * (mass - 2 + 1 / mass) / ((n + 2) ** 2 + mass))
        self._expected = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))
        self._longest = math.sqrt(n) + 2 * n / (n + 2)
        self.mean: Vector = np.full(n, 0.5)
        self.width = _FIRST_WIDTH
        self._covariance: Vector = np.eye(n)
        self._path: Vector = np.zeros(n)
        self._rank_path: Vector = np.zeros(n)
        self._generation = 0
        self._decompose()

    def _decompose(self) -> None:
        lengths, basis = np.linalg.eigh((self._covariance + self._covariance.T) / 2)
        lengths = np.sqrt(np.maximum(lengths, 1e-20))
        self._root: Vector = basis * lengths @ basis.T
        self._inverse_root: Vector = basis / lengths @ basis.T

    def learn(self, ranked: Vector) -> None:
        """Move to a generation: its points in the unit cube, a row each, the best first."""
        steps = (ranked[: len(self._weights)] - self.mean) / self.width
        lengths = np.linalg.norm(steps @ self._inverse_root, axis=1, keepdims=True)
        steps = steps * np.minimum(1.0, self._longest / np.maximum(lengths, 1e-20))
        step = self._weights @ steps
        self.mean = np.clip(self.mean + self.width * step, 0, 1)
        self._generation += 1
        rate = self._path_rate
        self._path = (1 - rate) * self._path + math.sqrt(rate * (2 - rate) * self._mass) * (self._inverse_root @ step)
        length = float(np.linalg.norm(self._path))
        self._adapt_covariance(step, steps, length)
        self.width *= math.exp(min(1.0, rate / self._damping * (length / self._expected - 1)))
        self.width = min(self.width, 1.0)
        self._decompose()

    def _adapt_covariance(self, step: Vector, steps: Vector, length: float) -> None:
        unbiased = length / math.sqrt(1 - (1 - self._path_rate) ** (2 * self._generation))
        moves = float(unbiased < (1.4 + 2 / (self._n + 1)) * self._expected)
        rate = self._rank_path_rate
        scale = math.sqrt(rate * (2 - rate) * self._mass)
        self._rank_path = (1 - rate) * self._rank_path + moves * scale * step
        lost = (1 - moves) * rate * (2 - rate)
        self._covariance = (
            (1 - self._one - self._many + self._one * lost) * self._covariance
            + self._one * np.outer(self._rank_path, self._rank_path)
            + self._many * (steps.T * self._weights) @ steps
        )

    def draw(self, rng: np.random.Generator) -> Vector:
        """Draw a point of the unit cube."""
        for _ in range(_ATTEMPTS):
            point = self.mean + self.width * (self._root @ rng.standard_normal(self._n))
            if ((point >= 0) & (point <= 1)).all():
                return point
        return np.clip(point, 0, 1)


class CmaEsSearcher(BaseSampler):
    """Proposes a draw of the distribution that the ended trials lead to, every generation in order of number.

    Optuna's own needs a package more, and keeps its state pickled beside the trials: nothing that lies in shared
    storage is unpickled here. Choices have no direction to evolve in; they are drawn at random.
    """

    def __init__(self, distributions: dict[str, BaseDistribution], number: int, seed: int) -> None:
        """Propose trial ``number`` of a cell that searches ``distributions``."""
        numeric = (FloatDistribution, IntDistribution)
        self._space = {name: d for name, d in distributions.items() if isinstance(d, numeric)}
        self._number, self._seed = number, seed
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return every range."""
        return dict(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Replay the evolution and draw from it."""
        if not self._space:
            return {}
        evolution = Evolution(len(self._space))
        earlier = study.get_trials(deepcopy=False)[: self._number]
        ended = [t for t in earlier if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        for begin in range(0, len(ended) - evolution.population + 1, evolution.population):
            generation = ended[begin : begin + evolution.population]
            evolution.learn(self._places(ranked(generation, study.direction)))
        point = evolution.draw(np.random.default_rng(self._seed))
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

    Complete ones by what they break of the study's bounds, then by value; stopped ones after them, those that got
    far first.
    """
    sign = -1 if direction == StudyDirection.MAXIMIZE else 1

    def place(trial: FrozenTrial) -> tuple[int, float, float]:
        if trial.state == TrialState.COMPLETE:
            broken = sum(max(0.0, constraint_violation) for constraint_violation in trial.constraints.values())
            return 0, broken, sign * (trial.value or 0.0)
        last = trial.last_step or 0
        return 1, -last, sign * trial.intermediate_values.get(last, 0.0)

    return sorted(trials, key=place)
