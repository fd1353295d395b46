from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from study.search.sequential_test import sequential_test


def test_a_single_look_is_the_t_test() -> None:
    differences = [0.3, -0.1, 0.5, 0.2, 0.4]
    found = sequential_test(5, 5).p_value(differences)
    assert found == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=0.03)


def test_there_is_no_p_value_before_the_first_look_and_none_without_spread() -> None:
    test = sequential_test(3, 10)
    assert test.p_value([0.1, 0.2]) is None
    assert test.p_value([0.5] * 4) is None
    assert test.p_value([0.5] * 4 + [0.6]) is not None


def test_a_p_value_never_rises_with_further_seeds() -> None:
    draws = np.random.default_rng(1).normal(0.5, 1, 20).tolist()
    test = sequential_test(3, 20)
    found = [test.p_value(draws[:n]) for n in range(3, 21)]
    assert all(b <= a for a, b in pairwise(found) if a is not None and b is not None)
    assert test.p_value([*draws, 100.0]) == found[-1]  # beyond the last look nothing counts


def test_small_p_values_are_bounded_by_the_sum_over_looks() -> None:
    test = sequential_test(3, 20)
    assert test.of_minimum(1e-9) == pytest.approx(18e-9)


@pytest.mark.parametrize("level", [0.05, 0.05 / 7])
def test_stopping_at_the_first_small_p_value_errs_no_more_often_than_stated(level: float) -> None:
    """Draws other than those that the test was made from; 20,000 courses know .05 to within .0015."""
    first, last, courses = 3, 20, 20_000
    test, nominal = sequential_test(first, last), sequential_test(first, last).nominal_level(level)
    draws = np.random.default_rng(7).normal(0, 3, (courses, last))
    wrong = np.zeros(courses, dtype=bool)
    for n in range(first, last + 1):
        wrong |= stats.ttest_1samp(draws[:, :n], 0, axis=1).pvalue <= nominal
    error = float(np.sqrt(level * (1 - level) / courses))
    assert level - 4 * error < wrong.mean() < level + 4 * error
    # looking at the fixed test after every seed is what it corrects
    assert (
        np.mean(np.any([stats.ttest_1samp(draws[:2000, :n], 0, axis=1).pvalue <= level for n in (3, 8, 20)], 0)) > level
    )
    assert test.of_minimum(nominal) == pytest.approx(level, rel=0.01)


def test_all_intervals_together_hold_the_mean() -> None:
    first, last, mean = 3, 12, 0.7
    test, draws = sequential_test(first, last), np.random.default_rng(3).normal(mean, 1, (400, last))
    missed = 0
    for course in draws.tolist():
        widths = [(np.mean(course[:n]), test.half_width(course[:n], 0.2)) for n in range(first, last + 1)]
        missed += any(abs(middle - mean) > width for middle, width in widths)
    assert 0.1 < missed / len(draws) < 0.28


@pytest.mark.parametrize(("first", "last"), [(1, 5), (6, 5)])
def test_looks_that_cannot_be_are_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="2 <= first <= last"):
        sequential_test(first, last)
