from __future__ import annotations

import math

import pytest

from study.report.significance import holm, paired

SEEDS = range(6)


def _results(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_students_t_by_hand() -> None:
    # differences 1, 2, 3: mean 2, standard deviation 1, t = 2 sqrt(3); p for 2 degrees is 1 - t / sqrt(t^2 + 2)
    found = paired(_results(1, 3, 5), _results(0, 1, 2))
    assert (found.n, found.difference) == (3, 2)
    assert found.t_test == pytest.approx(1 - math.sqrt(12 / 14))
    assert found.wilcoxon is None


def test_the_signed_rank_of_six_that_all_point_one_way() -> None:
    found = paired(_results(1, 2, 3, 4, 5, 6), _results(0, 0, 0, 0, 0, 0))
    assert found.wilcoxon == pytest.approx(2 / 2**6)


@pytest.mark.parametrize(
    ("first", "second", "n", "difference"),
    [
        ({}, {}, 0, math.nan),
        ({1: 0.5}, {2: 0.5}, 0, math.nan),
        ({1: 0.5}, {1: 0.25}, 1, 0.25),
        ({1: 0.5, 2: 0.9}, {1: 0.25, 3: 0.1}, 1, 0.25),  # only common seeds
        ({1: 0.5, 2: math.nan}, {1: 0.25, 2: 0.5}, 1, 0.25),  # and only numbers
        ({1: 0.5, 2: 0.5}, {1: 0.5, 2: 0.5}, 2, 0.0),
        (dict.fromkeys(SEEDS, 0.3), dict.fromkeys(SEEDS, 0.1), 6, 0.2),  # no spread: no test possible
    ],
)
def test_where_there_is_nothing_to_test(
    first: dict[int, float], second: dict[int, float], n: int, difference: float
) -> None:
    found = paired(first, second)
    assert found.n == n
    assert found.difference == pytest.approx(difference, nan_ok=True)
    assert found.t_test is None


def test_five_differences_and_a_tie_are_too_few_for_ranks() -> None:
    assert paired(_results(1, 2, 3, 4, 5, 0), dict.fromkeys(SEEDS, 0.0)).wilcoxon is None


@pytest.mark.parametrize(
    ("given", "corrected"),
    [
        ([], []),
        ([None, None], [None, None]),
        ([0.02], [0.02]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.01, None, 0.04], [0.02, None, 0.04]),
        ([0.6, 0.7], [1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
    ],
)
def test_holm(given: list[float | None], corrected: list[float | None]) -> None:
    assert holm(given) == pytest.approx(corrected)
