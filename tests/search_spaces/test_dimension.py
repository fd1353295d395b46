from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from search_spaces import Choices, Dimension, Range

LOG = Range(low=0.01, high=10, scale="log")
MIRRORED = Range(low=-50, high=-0.1, scale="log")
COMPLEMENT = Range(low=0.9, high=0.99999, scale="log-complement")
WHOLE = Range(low=1, high=20, integer=True)
RANGES = [Range(low=-1, high=1), LOG, MIRRORED, COMPLEMENT, WHOLE, Range(low=1, high=64, scale="log", integer=True)]


@pytest.mark.parametrize("given_", RANGES, ids=str)
def test_what_is_sampled_lies_in_the_range(given_: Range) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(200):
        value = given_.decode(study.ask({"x": given_.distribution()}).params["x"])
        assert given_.low - 1e-12 <= value <= given_.high + 1e-12
        assert isinstance(value, int) == given_.integer


@pytest.mark.parametrize("given_", RANGES, ids=str)
@given(share=st.floats(0, 1))
def test_encoding_and_decoding_return_the_value(given_: Range, share: float) -> None:
    value = given_.low + share * (given_.high - given_.low)
    value = round(value) if given_.integer else value
    assert given_.decode(given_.encode(value)) == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert given_.distribution()._contains(given_.encode(value))


@pytest.mark.parametrize("given_", RANGES, ids=str)
def test_values_outside_move_to_the_nearest_end(given_: Range) -> None:
    assert given_.decode(given_.encode(given_.low - 5)) == pytest.approx(given_.low)
    assert given_.decode(given_.encode(given_.high + 5)) == pytest.approx(given_.high)


def test_scales_are_what_optuna_samples_on() -> None:
    assert not Range(low=0, high=1).distribution().log  # type: ignore[attr-defined]
    for given_, low, high in ((LOG, 0.01, 10), (MIRRORED, 0.1, 50), (COMPLEMENT, 1e-5, 0.1)):
        distribution: Any = given_.distribution()
        assert distribution.log
        assert (distribution.low, distribution.high) == pytest.approx((low, high))


def test_mirrored_and_complementary_values_are_named_so() -> None:
    names = [r.searched_name("x") for r in (LOG, MIRRORED, COMPLEMENT, WHOLE, Range(low=-2, high=-1))]
    assert names == ["x", "-x", "1-x", "x", "x"]
    assert Choices(choices=("a", "b")).searched_name("x") == "x"


def test_half_of_a_complementary_range_lies_beyond_its_geometric_middle() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [COMPLEMENT.decode(study.ask({"x": COMPLEMENT.distribution()}).params["x"]) for _ in range(400)]
    assert 0.4 < sum(x > 0.999 for x in drawn) / 400 < 0.6


def test_choices_keep_their_type() -> None:
    choices = Choices(choices=(1, 2.5, "three", True))
    assert [type(c) for c in choices.choices] == [int, float, str, bool]
    assert choices.encode("three") == "three"
    assert choices.encode("four") == 1
    assert choices.decode(2.5) == 2.5
    assert choices.distribution().choices == (1, 2.5, "three", True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"low": 2, "high": 1}, "`low` must be < `high`, got low 2 and high 1"),
        ({"low": 1, "high": 1}, "`low` must be < `high`"),
        ({"low": 0, "high": 1, "scale": "log"}, "a log range must not hold 0"),
        ({"low": -1, "high": 1, "scale": "log"}, "a log range must not hold 0"),
        ({"low": 0.5, "high": 1, "scale": "log-complement"}, "must end below 1, got high 1"),
        ({"low": 0.5, "high": 3, "integer": True}, "an integer range needs whole ends"),
        ({"low": -3, "high": 0, "integer": True, "scale": "log-complement"}, "an integer range needs whole ends"),
        ({"low": math.nan, "high": 1}, "finite"),
        ({"low": 0, "high": math.inf}, "finite"),
        ({"low": 0, "high": 1, "scale": "exp"}, "'linear', 'log' or 'log-complement'"),
        ({"low": 0, "hihg": 1}, "did you mean 'high'"),
        ({"low": 0}, "Field required"),
        ({"choices": []}, "at least 2 items"),
        ({"choices": ["a"]}, "at least 2 items"),
        ({"choices": [10, 30, 10.0]}, "must differ from each other, got 10.0 twice"),
        ({"choices": ["a", "b"], "low": 1}, "unknown key 'low'"),
    ],
)
def test_what_cannot_be_searched_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Dimension).validate_python(values)
    assert said in str(caught.value)


def test_a_mapping_is_choices_if_it_says_so() -> None:
    adapter: TypeAdapter[Range | Choices] = TypeAdapter(Dimension)
    assert isinstance(adapter.validate_python({"choices": [1, 2]}), Choices)
    assert isinstance(adapter.validate_python({"low": 1, "high": 2}), Range)
    for dimension in (MIRRORED, Choices(choices=(1, "b"))):
        assert adapter.validate_python(dimension) is dimension
        assert adapter.validate_python(adapter.dump_python(dimension, mode="json")) == dimension


def test_examples_hold_the_ends_and_a_broken_number_where_one_can_be_drawn() -> None:
    low, high, between = Range(low=1, high=20).examples
    assert (low, high) == (1, 20)
    assert 1 < between < 20
    assert between % 1 != 0
    assert WHOLE.examples == (1, 20)
    assert Choices(choices=("a", "b")).examples == ("a", "b")


@pytest.mark.parametrize("given_", RANGES, ids=str)
def test_ends_of_the_unit_scale_are_exact(given_: Range) -> None:
    ends = (given_.high, given_.low) if given_.descending else (given_.low, given_.high)
    assert [given_.to_unit(end) for end in ends] == [0, 1]
    assert [given_.to_unit(end) for end in (given_.low - 5, given_.high + 0.5)] == [
        given_.descending,
        1 - given_.descending,
    ]
    assert (given_.from_unit(0), given_.from_unit(1)) == tuple(given_.decode(given_.encode(end)) for end in ends)


@pytest.mark.parametrize("given_", RANGES, ids=str)
@given(place=st.floats(0, 1))
def test_the_unit_scale_returns_the_value(given_: Range, place: float) -> None:
    value = given_.from_unit(place)
    assert given_.low <= value <= given_.high or value == pytest.approx(given_.nearest(value))
    assert given_.from_unit(given_.to_unit(value)) == pytest.approx(value, rel=1e-9, abs=1e-12)
    if not given_.integer:
        assert given_.to_unit(value) == pytest.approx(place, abs=1e-9)


def test_choices_lie_evenly_on_the_unit_scale() -> None:
    choices = Choices(choices=(10, "b", True, 64))
    assert [choices.to_unit(choice) for choice in choices.choices] == [0, 1 / 3, 2 / 3, 1]
    assert [choices.from_unit(choices.to_unit(choice)) for choice in choices.choices] == list(choices.choices)


@pytest.mark.parametrize("given_", RANGES, ids=str)
def test_a_value_of_the_range_is_its_own_nearest(given_: Range) -> None:
    for value in given_.grid_values(7):
        assert given_.nearest(value) == value
