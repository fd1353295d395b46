"""Student's paired t test after every seed: a p value that stays valid whenever one stops looking.

The nominal p value of the t test may be looked at once. Its minimum over all looks so far is small too often. Under the
null hypothesis, with normal differences, the course of the t statistic depends neither on their mean nor on their
variance, so the distribution of that minimum is known and can be simulated. The sequential p value is the probability
of a minimum as small over all looks, the last included; this is a repeated significance test in the sense of Armitage,
McPherson and Rowe (1969). Stopping earlier, for whatever reason, makes it conservative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

_PATHS = 200_000
"""Simulated courses: a probability of .005 is known to within 3 % (one standard error)."""


class SequentialTTest:
    """The test of one family of looks: after each number of differences from ``first`` to ``last``."""

    def __init__(self, first: int, last: int) -> None:
        """Simulate the smallest nominal p value under the null hypothesis; the draws are always the same.

        Args:
            first: number of differences at the first look, at least 2.
            last: number at the last look, at least ``first``.
        """
        import numpy as np
        from scipy import stats

        if not 2 <= first <= last:
            raise ValueError(f"looks must satisfy 2 <= first <= last, got {first} and {last}")
        self.first, self.last = first, last
        draws = np.random.default_rng(0)
        total, squares, smallest = (np.zeros(_PATHS), np.zeros(_PATHS), np.ones(_PATHS))
        for n in range(1, last + 1):
            difference = draws.standard_normal(_PATHS)
            total += difference
            squares += difference**2
            if n >= first:
                variance = np.maximum(squares - total**2 / n, 1e-300) / (n - 1)
                p = 2 * stats.t.sf(np.abs(total) / np.sqrt(n * variance), n - 1)
                smallest = np.minimum(smallest, p)
        self._smallest = np.sort(smallest)
        self._levels: dict[float, float] = {}

    def p_value(self, differences: Sequence[float]) -> float | None:
        """Return the sequential two-sided p value of the null hypothesis that the differences have mean 0.

        Args:
            differences: in the order of their seeds; those after ``last`` are left out.

        Returns:
            The p value; None before the first look, and while no look had differences that differ.
        """
        nominal = [
            p for n in range(self.first, min(len(differences), self.last) + 1) if (p := _p(tuple(differences[:n])))
        ]
        return self.of_minimum(min(nominal)) if nominal else None

    def of_minimum(self, nominal: float) -> float:
        """Return the probability under the null hypothesis of a nominal p value as small at any look."""
        import numpy as np

        reached = int(np.searchsorted(self._smallest, nominal, side="right"))
        looks = self.last - self.first + 1
        # below the resolution of the simulation the sum over looks is the better bound
        return min(1.0, looks * nominal, (reached + 1) / (_PATHS + 1))

    def nominal_level(self, level: float) -> float:
        """Return the nominal level of each look at which the whole sequence errs with probability ``level``."""
        if level in self._levels:
            return self._levels[level]
        low, high = math.log(level / (self.last - self.first + 1) / 2), math.log(level)
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.of_minimum(math.exp(middle)) <= level else (low, middle)
        return self._levels.setdefault(level, math.exp(low))

    def half_width(self, differences: Sequence[float], level: float) -> float:
        """Return half the width of the repeated confidence interval of the mean difference.

        Source: Jennison and Turnbull (1989). The intervals of all looks hold the mean together with probability
        1 - ``level``.

        Returns:
            Half the width in the unit of the differences; infinite before the first look.
        """
        from scipy import stats

        n = len(differences)
        if n < self.first:
            return math.inf
        quantile = float(stats.t.isf(self.nominal_level(level) / 2, n - 1))
        return quantile * _deviation(differences) / math.sqrt(n)


@lru_cache(maxsize=16)
def sequential_test(first: int, last: int) -> SequentialTTest:
    """Return the test of these looks; it is simulated once per process."""
    return SequentialTTest(first, last)


def _deviation(differences: Sequence[float]) -> float:
    mean = math.fsum(differences) / len(differences)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in differences) / (len(differences) - 1))


@lru_cache(maxsize=10_000)
def _p(differences: tuple[float, ...]) -> float | None:
    """Return the nominal p value of the t test; None if all differences are equal, up to rounding."""
    from scipy import stats

    if max(differences) - min(differences) < 1e-12:
        return None
    n = len(differences)
    statistic = math.fsum(differences) / math.sqrt(n) / _deviation(differences)
    return max(float(2 * stats.t.sf(abs(statistic), n - 1)), 1e-300)
