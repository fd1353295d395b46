"""Mean ranks of methods over cells: Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranks:
    """K methods ranked on N places.

    Attributes:
        methods: their labels, the smallest mean rank first, (K,).
        mean: mean rank of each, 1 is best, (K,).
        places: N.
        chi_square: Friedman's statistic.
        p: p value of Iman and Davenport's F, which corrects that statistic; 1 if all methods have one mean rank.
        critical: Nemenyi's critical difference of two mean ranks at level .05.
    """

    methods: tuple[str, ...]
    mean: tuple[float, ...]
    places: int
    chi_square: float
    p: float
    critical: float

    def groups(self) -> list[tuple[int, int]]:
        """Return the maximal runs of methods without a significant difference, as first and last position."""
        runs: list[tuple[int, int]] = []
        for first, rank in enumerate(self.mean):
            last = max(place for place, other in enumerate(self.mean) if other - rank < self.critical)
            if last > first and (not runs or last > runs[-1][1]):
                runs.append((first, last))
        return runs


def ranks_of(methods: Sequence[str], values: Sequence[Sequence[float]], *, maximize: bool) -> Ranks:
    """Rank methods on each place and test whether their mean ranks differ; equal values share their mean rank.

    Args:
        methods: K labels, at least two.
        values: a metric per place and method, finite, (N, K), N at least two.
        maximize: True if a larger value is better.

    Source: Demsar, 2006, sections 3.2.2 and 3.2.4.

    >>> found = ranks_of(["a", "b", "c"], [[0.5, 0.7, 0.6], [0.5, 0.8, 0.6]], maximize=True)
    >>> found.methods, found.mean
    (('b', 'c', 'a'), (1.0, 2.0, 3.0))
    """
    from scipy.stats import f, rankdata

    table = np.asarray(values, dtype=np.float64)
    places, count = table.shape
    mean = rankdata(-table if maximize else table, axis=1).mean(axis=0)
    chi_square = 12 * places / (count * (count + 1)) * (float((mean**2).sum()) - count * (count + 1) ** 2 / 4)
    left = places * (count - 1) - chi_square  # 0 where every place has the same order
    statistic = math.inf if left <= 1e-12 else (places - 1) * chi_square / left
    p = float(f.sf(statistic, count - 1, (count - 1) * (places - 1)))
    order = np.argsort(mean, kind="stable")
    return Ranks(
        tuple(methods[place] for place in order),
        tuple(float(mean[place]) for place in order),
        places,
        chi_square,
        p,
        critical_difference(count, places),
    )


def critical_difference(methods: int, places: int, level: float = 0.05) -> float:
    """Return the smallest difference of two mean ranks that Nemenyi's test calls significant.

    >>> round(critical_difference(4, 14), 2), round(critical_difference(4, 14, 0.1), 2)
    (1.25, 1.12)
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - level, methods, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(methods * (methods + 1) / (6 * places))
