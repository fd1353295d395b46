from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from study.search.racing import Entrant, open_pairs, seeds_wanted
from study.spec.confirm_spec import ConfirmSpec

NOISE = np.random.default_rng(0).normal(0, 0.004, (8, 40))


def _confirm(seeds: int = 3, **race: Any) -> ConfirmSpec:
    return ConfirmSpec.model_validate({"seeds": seeds, "race": {"at_most": 12, **race}})


def _entrants(means: Sequence[float], seeds: int, presets: int = 0) -> list[Entrant]:
    """Return entrants with a small noise of their own; the first is the baseline, the last ``presets`` are presets."""
    return [
        Entrant(
            races=index < len(means) - presets,
            baseline=index == 0,
            results={position: mean + float(NOISE[index, position]) for position in range(seeds)},
        )
        for index, mean in enumerate(means)
    ]


def test_without_a_race_all_want_the_same_seeds() -> None:
    assert seeds_wanted(ConfirmSpec(seeds=4), _entrants([0.5, 0.6], 2), maximize=True) == [4, 4]


def test_a_clear_difference_asks_for_no_further_seed() -> None:
    assert seeds_wanted(_confirm(), _entrants([0.5, 0.9], 3), maximize=True) == [3, 3]


def test_an_undecided_pair_asks_for_one_seed_more_and_the_others_for_none() -> None:
    confirm = _confirm(margin=0.0001)
    assert seeds_wanted(confirm, _entrants([0.5, 0.9, 0.5, 0.2], 3, presets=1), maximize=True) == [4, 3, 4, 3]


def test_nothing_is_asked_for_before_all_trials_have_ended() -> None:
    entrants = _entrants([0.5, 0.5], 3)
    waiting = [entrants[0], Entrant(True, False, {0: 0.5, 2: 0.5})]
    assert seeds_wanted(_confirm(), waiting, maximize=True) == [3, 3]


def test_a_race_ends_at_its_last_seed() -> None:
    confirm = _confirm(margin=None)
    assert seeds_wanted(confirm, _entrants([0.5, 0.5], 12), maximize=True) == [12, 12]


def test_methods_that_are_the_same_within_the_margin_are_decided() -> None:
    entrants = _entrants([0.5, 0.5], 8)
    assert open_pairs(_confirm(margin=0.05), entrants, 8, maximize=True) == []
    assert open_pairs(_confirm(margin=None), entrants, 8, maximize=True) == [(1, 0)]


def test_the_leader_races_with_those_that_it_does_not_beat_yet() -> None:
    confirm = _confirm(compare="best", margin=None)
    entrants = _entrants([0.5, 0.801, 0.8, 0.5], 5)
    assert open_pairs(confirm, entrants, 5, maximize=True) == [(1, 2)]
    assert open_pairs(confirm, entrants, 5, maximize=False) == [(0, 3)]
    assert set(open_pairs(_confirm(compare="all", margin=None), entrants, 5, maximize=True)) == {(1, 2), (0, 3)}


@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_seed_that_failed_is_left_out(value: float | None) -> None:
    first, second = _entrants([0.5, 0.9], 4)
    results = {**second.results, 1: value}
    assert seeds_wanted(_confirm(), [first, Entrant(True, False, results)], maximize=True) == [4, 4]


def test_a_failed_seed_counts_as_ended() -> None:
    entrants = [Entrant(True, True, {0: 0.5, 1: 0.5, 2: 0.5}), Entrant(True, False, {0: None, 1: None, 2: None})]
    assert seeds_wanted(_confirm(), entrants, maximize=True) == [4, 4]


def test_the_same_methods_are_rarely_called_different() -> None:
    """Five methods that equal the baseline, 300 races: the stated 10 % with a standard error of 1.7."""
    confirm = _confirm(confidence=0.9, margin=None)
    draws, wrong = np.random.default_rng(5).normal(0, 1, (300, 6, 12)), 0
    for race in draws.tolist():
        entrants = [Entrant(True, index == 0, dict(enumerate(values))) for index, values in enumerate(race)]
        wrong += len(open_pairs(confirm, entrants, 12, maximize=True)) < 5
    assert wrong / len(draws) < 0.1 + 3 * 0.0175
