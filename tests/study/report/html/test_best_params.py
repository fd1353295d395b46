"""Best values of params, their noise interval and their trend."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces import Choices, Range
from study.report.html.best_params import BestValue, Movement, best_value, fitted_trend, height, noise_of, value_at
from tests.study.report.html.conftest import MakeView

GAMMA = Range(low=-10, high=-0.1, scale="log")
BETA = Range(low=0.9, high=0.9999, scale="log-complement")


@pytest.mark.parametrize("dimension", [GAMMA, BETA, Range(low=0, high=4), Choices(choices=(1, 2, 8))])
def test_larger_values_are_higher_and_come_back(dimension: Range | Choices) -> None:
    low, high = (
        (dimension.examples[0], dimension.examples[-1])
        if isinstance(dimension, Choices)
        else (
            dimension.low,
            dimension.high,
        )
    )
    assert [height(dimension, low), height(dimension, high)] == pytest.approx([0, 1])
    assert value_at(dimension, height(dimension, high)) == pytest.approx(high)


def test_the_trend_finds_the_top_of_a_noisy_parabola() -> None:
    rng = np.random.default_rng(0)
    x = rng.random(60)
    y = -((x - 0.3) ** 2) + rng.normal(0, 0.01, 60)
    up = fitted_trend(tuple(x.tolist()), tuple(y.tolist()), True)
    down = fitted_trend(tuple(x.tolist()), tuple((-y).tolist()), False)
    assert up.best == pytest.approx(0.3, abs=0.06)
    assert up.best_low <= up.best <= up.best_high
    assert down.best == pytest.approx(up.best)
    assert (up.low <= up.mean).all() and (up.mean <= up.high).all()


def test_pure_noise_leaves_the_best_value_open() -> None:
    rng = np.random.default_rng(1)
    found = fitted_trend(tuple(rng.random(40).tolist()), tuple(rng.normal(size=40).tolist()), True)
    assert found.best_high - found.best_low > 0.5


def test_the_interval_holds_the_values_within_noise_of_the_best(make_view: MakeView) -> None:
    view = make_view(ratios=(100,), trials=10, seeds=3)
    cell = next(cell for cell in view.cells if cell.cell.method == "cce")
    noise, source = noise_of(cell)
    confirmed = [trial.value for trial in cell.confirming if trial.param_source == "best"]
    assert source == "seeds" and noise > 0 and len(confirmed) == 3
    found = best_value(cell, "gamma")
    best = cell.best()
    assert found is not None and best is not None
    top = best.value
    assert top is not None
    reach = 1.645 * 2**0.5 * noise
    within = [t.params["gamma"] for t in cell.in_state("COMPLETE") if top - (t.value or 0) <= reach]
    assert sorted(set(found.level)) == sorted({*within, best.params["gamma"]})


def test_without_a_confirmation_the_noise_is_that_of_the_images(make_view: MakeView) -> None:
    noise, source = noise_of(make_view(ratios=(100,), trials=2).cells[0])
    # ten classes of 200 images: at most sqrt(10 * 0.25 / 200) / 10
    assert source == "images" and 0 < noise < 0.0112


def value(ratio: float, *gammas: float, trials: int = 20) -> BestValue:
    return BestValue(ratio, GAMMA, gammas[0], tuple(sorted(gammas)), trials, 0.01, "seeds", None)


def test_a_movement_is_said_only_beyond_noise() -> None:
    falls = Movement("mnist", "long_tail", "cce", "gamma", (value(10, -1, -0.5), value(100, -5, -2)))
    assert (falls.direction, falls.verdict) == ("falls", "lower at ratio 100 than at 10, beyond noise")
    within = Movement("mnist", "long_tail", "cce", "gamma", (value(10, -1, -3), value(100, -5, -2)))
    assert within.verdict == "no movement beyond noise"
    few = Movement("mnist", "long_tail", "cce", "gamma", (value(10, -1, trials=3), value(100, -5, trials=3)))
    assert few.verdict.startswith("too few trials to say")
