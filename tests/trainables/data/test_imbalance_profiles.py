"""Class counts: the published sums, the formulas' limits, and what cannot be."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainables.core.config import ProfileConfig
from trainables.core.errors import BadInput
from trainables.data.imbalance_profiles import largest_ratio, profile_counts


def counts(kind: str, ratio: float, sizes: list[int], minority: str = "last") -> tuple[int, ...]:
    given = {"kind": kind, "minority": minority} | ({} if kind == "natural" else {"ratio": ratio})
    return profile_counts(ProfileConfig.model_validate(given), sizes)


@pytest.mark.parametrize(
    ("classes", "n_max", "ratio", "total"),
    [(10, 5000, 100, 12406), (10, 5000, 10, 20431), (100, 500, 100, 10847), (100, 500, 10, 19573)],
)
def test_long_tail_sums_are_those_of_the_papers(classes: int, n_max: int, ratio: float, total: int) -> None:
    assert sum(counts("long_tail", ratio, [n_max] * classes)) == total


def test_long_tail_ends_are_exact() -> None:
    for ratio in (1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1000, 5000):
        kept = counts("long_tail", ratio, [5000] * 10)
        assert (kept[0], kept[-1]) == (5000, 5000 // ratio)


@given(st.integers(2, 12), st.integers(1, 20_000), st.integers(1, 2_000))
@example(2, 49, 49)  # 49 * 49 ** -1 comes out below 1 in floating point
@example(6, 5000, 32)  # and 5000 * 32 ** -0.4 below 1250
def test_long_tail_is_the_floor_of_the_exact_value(classes: int, n_max: int, ratio: int) -> None:
    if ratio > n_max:
        return
    for k, kept in enumerate(counts("long_tail", ratio, [n_max] * classes)):
        # kept = floor(n_max * ratio^(-k/(K-1))), in whole numbers: both sides to the power K-1
        power = classes - 1
        assert kept**power * ratio**k <= n_max**power < (kept + 1) ** power * ratio**k


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_step_and_fraction_divide_exactly(n: int, ratio: int) -> None:
    if ratio > n:
        return
    whole = int(Fraction(n, ratio))
    assert counts("step", ratio, [n, n]) == (n, whole)
    assert counts("fraction", ratio, [n + 7, n]) == (n + 7, whole)


def test_uneven_pools_take_the_smallest_class_as_n_max() -> None:
    mnist = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert counts("long_tail", 100, mnist)[0::9] == (5421, 54)
    assert counts("step", 10, mnist) == (5421,) * 5 + (542,) * 5


def test_fraction_leaves_the_majority_alone() -> None:
    assert counts("fraction", 10, [101, 205, 309, 400], "first") == (10, 20, 309, 400)


@pytest.mark.parametrize(
    ("minority", "kept"),
    [("last", "LLsss"), ("first", "ssLLL"), ("odd", "LsLsL"), ("even", "sLsLs")],
)
def test_minority_names_the_classes(minority: str, kept: str) -> None:
    expected = tuple(40 if letter == "L" else 4 for letter in kept)
    assert counts("step", 10, [40] * 5, minority) == expected


@pytest.mark.parametrize("kind", ["long_tail", "step", "fraction"])
def test_ratio_one_is_natural_on_a_balanced_pool(kind: str) -> None:
    assert counts(kind, 1, [30] * 4) == counts("natural", 1, [30] * 4) == (30,) * 4


@pytest.mark.parametrize("kind", ["long_tail", "step", "fraction"])
def test_largest_ratio_works_and_a_larger_one_is_refused(kind: str) -> None:
    sizes = [90, 70, 80, 60]
    profile = ProfileConfig.model_validate({"kind": kind, "ratio": 1})
    limit = largest_ratio(profile, sizes)
    assert min(counts(kind, limit, sizes)) == 1
    with pytest.raises(BadInput, match=rf"{kind} with ratio {limit + 1} .*class .* works here is {limit}$"):
        counts(kind, limit + 1, sizes)


def test_the_empty_class_is_named() -> None:
    profile = ProfileConfig(kind="long_tail", ratio=6000)
    with pytest.raises(BadInput, match=r"without a training image") as caught:
        profile_counts(profile, [5000] * 3, ["cat", "dog", "truck"])
    assert str(caught.value).startswith(
        "profile long_tail with ratio 6000 leaves class 2 ('truck') without a training image"
    )


def test_a_class_without_images_is_named_whatever_the_profile() -> None:
    with pytest.raises(BadInput, match=r"class 1 \('1'\) has no training image under any profile"):
        counts("natural", 1, [3, 0, 3])


def test_one_class_is_no_data_set() -> None:
    with pytest.raises(BadInput, match="at least two classes, got 1"):
        counts("long_tail", 1, [30])
