from __future__ import annotations

import numpy as np
import pytest

from search_spaces import Choices, Range, Space
from study.search.unit_cube import unit_point

SPACE: Space = {
    "plain": Range(low=1, high=3),
    "whole": Range(low=1, high=21, integer=True),
    "rate": Range(low=0.001, high=0.1, scale="log"),
    "gamma": Range(low=-100, high=-1, scale="log"),
    "beta": Range(low=0.9, high=0.999, scale="log-complement"),
    "scale": Choices(choices=(10.0, 20.0, 64.0)),
}
VALUES = {"plain": 2, "whole": 11, "rate": 0.01, "gamma": -10, "beta": 0.99, "scale": 20.0}


def test_every_scale_has_its_middle_where_the_searcher_has_it() -> None:
    assert unit_point(SPACE, VALUES)[:5] == pytest.approx([0.5] * 5)


def test_what_lies_outside_is_moved_to_the_nearest_end() -> None:
    assert unit_point(SPACE, VALUES | {"plain": 9})[0] == 1


def test_different_choices_are_as_far_apart_as_the_ends_of_a_range() -> None:
    places = [unit_point(SPACE, VALUES | {"scale": choice}) for choice in (10.0, 20.0, 64.0)]
    for one in range(3):
        assert np.linalg.norm(places[one] - places[one - 1]) == pytest.approx(1)
    ends = [unit_point(SPACE, VALUES | {"rate": end}) for end in (0.001, 0.1)]
    assert np.linalg.norm(ends[0] - ends[1]) == pytest.approx(1)


def test_nothing_searched_is_a_single_place() -> None:
    assert unit_point({}, {}).shape == (0,)
