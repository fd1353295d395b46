"""Paired significance tests between settings that were trained with the same seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.search.sequential_test import SequentialTTest
    from study.spec.confirm_spec import ConfirmSpec

WILCOXON_FROM = 6
"""Fewest nonzero differences: with five, the smallest p value of the signed-rank test is 2/2^5 = .0625."""


@dataclass(frozen=True)
class Paired:
    """The paired difference of two settings over their common seeds.

    Attributes:
        n: number of common seeds.
        difference: mean of first minus second, in the metric's unit; NaN without a common seed.
        t_test: two-sided p value of Student's paired t test; None with fewer than two seeds, or if all differences
            are equal, so that their variance is 0. In a race of seeds the sequential p value, None before the first
            look.
        wilcoxon: two-sided p value of the signed-rank test; None with fewer than six nonzero differences.
    """

    n: int
    difference: float
    t_test: float | None
    wilcoxon: float | None


def race_test(confirm: ConfirmSpec | None) -> SequentialTTest | None:
    """Return the test that a race of seeds uses; None if every setting has the same seeds."""
    from study.search.sequential_test import sequential_test

    return None if confirm is None or confirm.race is None else sequential_test(confirm.seeds, confirm.race.at_most)


def paired(first: Mapping[int, float], second: Mapping[int, float], race: SequentialTTest | None = None) -> Paired:
    """Compare two settings over their common seeds.

    Args:
        first: seed -> metric.
        second: the same. Seeds with a NaN in either are left out.
        race: the test of a race, whose number of seeds depends on the results: its p value replaces that of the t test,
            and there is no signed-rank test.

    >>> paired({0: 0.5, 1: 0.75}, {0: 0.25, 1: 0.25, 2: 0.9}).difference
    0.375
    """
    pairs = _common(first, second)
    differences = [a - b for a, b in pairs]
    mean = sum(differences) / len(pairs) if pairs else math.nan
    if race is not None:
        return Paired(len(pairs), mean, race.p_value(differences), None)
    return Paired(len(pairs), mean, _t_test(pairs), _wilcoxon(differences))


def differences(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """Return first minus second over their common seeds, in the order of the seeds; without NaN."""
    return [a - b for a, b in _common(first, second)]


def _common(first: Mapping[int, float], second: Mapping[int, float]) -> list[tuple[float, float]]:
    seeds = sorted(seed for seed in first.keys() & second.keys() if math.isfinite(first[seed] + second[seed]))
    return [(first[seed], second[seed]) for seed in seeds]


def _t_test(pairs: Sequence[tuple[float, float]]) -> float | None:
    differences = [a - b for a, b in pairs]
    # equal up to rounding: scipy would divide by a variance of 0
    if len(pairs) < 2 or max(differences) - min(differences) < 1e-12:
        return None
    from scipy.stats import ttest_rel

    return float(ttest_rel([a for a, _ in pairs], [b for _, b in pairs]).pvalue)


def _wilcoxon(differences: Sequence[float]) -> float | None:
    apart = [difference for difference in differences if difference != 0]
    if len(apart) < WILCOXON_FROM:
        return None
    from scipy.stats import wilcoxon

    return float(wilcoxon(apart).pvalue)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Apply the Holm-Bonferroni correction, which controls the family-wise error rate.

    The i-th smallest of m p values becomes max over j <= i of (m - j + 1) p_j, at most 1. None stands for no test:
    it stays None and does not count towards m.

    Source: Holm, 1979.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        corrected[index] = largest
    return corrected
