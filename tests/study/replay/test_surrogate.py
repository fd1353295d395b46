from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from search_spaces import Range, Space
from study.replay.surrogate import _LEVEL_VARIANCE, Curve, Surrogate

EPOCHS = 8
SPACE: Space = {"x": Range(low=0, high=1), "y": Range(low=0, high=1)}
Height = Callable[[float, float], float]


def _hill(x: float, y: float) -> float:
    return 0.9 - (x - 0.3) ** 2 - 0.5 * (y - 0.6) ** 2


def _curve(x: float, y: float, *, until: int = EPOCHS, hill: Height = _hill) -> Curve:
    values = np.array([hill(x, y) * (1 - 0.5**epoch) for epoch in range(1, EPOCHS + 1)])
    values[until:] = np.nan
    return Curve({"x": x, "y": y}, values)


def _places(count: int = 40, seed: int = 0) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.random.default_rng(seed).random((count, 2))]


@pytest.fixture(scope="module")
def landscape() -> Surrogate:
    return Surrogate(SPACE, [_curve(*place) for place in _places()], EPOCHS)


def test_a_smooth_response_is_told_at_places_nobody_trained(landscape: Surrogate) -> None:
    for x, y in _places(20, seed=1):
        told = landscape.curve({"x": x, "y": y})
        assert told.shape == (EPOCHS,)
        assert told == pytest.approx(_curve(x, y).metric, abs=0.02)


def test_the_best_recorded_end_is_found(landscape: Surrogate) -> None:
    ends = [_hill(*place) * (1 - 0.5**EPOCHS) for place in _places()]
    assert landscape.best(maximize=True) == pytest.approx(max(ends), abs=0.01)
    assert landscape.best(maximize=False) == pytest.approx(min(ends), abs=0.01)


def test_the_error_is_that_of_leaving_each_trial_out() -> None:
    curves = [_curve(*place) for place in _places(12)]
    whole = Surrogate(SPACE, curves, EPOCHS)
    missed = []
    for number, curve in enumerate(curves):
        rest = Surrogate(SPACE, [*curves[:number], *curves[number + 1 :]], EPOCHS)
        rest._scales, rest._noise = whole._scales, whole._noise
        rest._fit()
        rest._low, rest._high = -9, 9
        missed.append(rest.curve(curve.values)[-1] - curve.metric[-1])
    trust = whole.trust()
    assert trust.trials == 12
    assert trust.error == pytest.approx(np.sqrt(np.mean(np.square(missed))), rel=1e-3)
    assert trust.spread == pytest.approx(np.std([curve.metric[-1] for curve in curves]))


def test_noise_is_smoothed_and_told_as_error() -> None:
    rng = np.random.default_rng(2)
    noise = {place: 0.05 * rng.standard_normal() for place in _places(60)}
    curves = [_curve(*place, hill=lambda x, y: _hill(x, y) + noise[x, y]) for place in _places(60)]
    landscape = Surrogate(SPACE, curves, EPOCHS)
    error = [landscape.curve({"x": x, "y": y})[-1] - _hill(x, y) * (1 - 0.5**EPOCHS) for x, y in _places(40, seed=3)]
    assert np.std(error) < 0.04
    told = landscape.trust().error
    assert told is not None
    assert 0.04 < told < 0.09


def test_the_curves_of_pruned_trials_count_as_far_as_they_go() -> None:
    places = _places(60)
    ends = sorted(_hill(*place) for place in places)
    pruned = [_curve(*place, until=3 if _hill(*place) < ends[30] else EPOCHS) for place in places]
    landscape = Surrogate(SPACE, pruned, EPOCHS)
    bad = {"x": 0.95, "y": 0.05}
    assert landscape.curve(bad)[:3] == pytest.approx(_curve(**bad).metric[:3], abs=0.02)
    # a regression of the last epoch alone would see only good trials and predict above 0.8
    assert landscape.curve(bad)[-1] == pytest.approx(_curve(**bad).metric[-1], abs=0.12)
    assert landscape.trust().trials == 30


def test_without_pruning_increments_add_up_to_a_regression_of_every_epoch(landscape: Surrogate) -> None:
    covariance = landscape._covariance(landscape._points)
    inside = covariance + landscape._noise * np.eye(len(covariance))
    direct = landscape._covariance(np.array([[0.4, 0.4]])) @ np.linalg.solve(inside, landscape._curves)
    assert landscape.curve({"x": 0.4, "y": 0.4}) == pytest.approx(direct[0], abs=1e-6)


def test_complete_curves_are_predicted_as_by_the_regressor_of_scikit_learn(landscape: Surrogate) -> None:
    kernel = Matern(landscape._scales, nu=2.5) + ConstantKernel(_LEVEL_VARIANCE)
    theirs = GaussianProcessRegressor(kernel, alpha=landscape._noise, optimizer=None)
    theirs.fit(np.array(_places()), np.array([_curve(*place).metric for place in _places()]))
    for x, y in _places(20, seed=1):
        ours = np.cumsum(landscape._covariance(np.array([[x, y]])) @ landscape._weights, axis=1)[0]
        assert ours == pytest.approx(theirs.predict([[x, y]])[0], abs=1e-6)


def test_epochs_missing_before_the_last_are_filled() -> None:
    curves = [_curve(*place) for place in _places()]
    for curve in curves[::2]:
        curve.metric[:2] = np.nan  # adopted from a shared training
        curve.metric[5] = np.nan
    assert np.isfinite(Surrogate(SPACE, curves, EPOCHS).curve({"x": 0.5, "y": 0.5})).all()


def test_epochs_that_no_trial_reached_stay_where_the_last_was() -> None:
    landscape = Surrogate(SPACE, [_curve(*place, until=4) for place in _places(10)], EPOCHS)
    told = landscape.curve({"x": 0.5, "y": 0.5})
    assert told[3:] == pytest.approx(told[3])
    assert landscape.trust().error is None


def test_it_never_tells_more_than_was_recorded(landscape: Surrogate) -> None:
    recorded = np.array([_curve(*place).metric for place in _places()])
    for x, y in [(0.0, 0.0), (1.0, 1.0), (0.3, 0.6)]:
        told = landscape.curve({"x": x, "y": y})
        assert recorded.min() <= told.min() and told.max() <= recorded.max()


def test_a_trial_diverges_where_the_nearest_recorded_one_did(landscape: Surrogate) -> None:
    assert landscape.diverges_after({"x": 1.0, "y": 1.0}) is None
    gone = Curve({"x": 1.0, "y": 1.0}, np.array([0.1, 0.1] + [np.nan] * (EPOCHS - 2)), diverged=True)
    torn = Surrogate(SPACE, [*(_curve(*place) for place in _places()), gone], EPOCHS)
    assert torn.diverges_after({"x": 0.99, "y": 1.0}) == 2
    assert torn.diverges_after({"x": 0.3, "y": 0.6}) is None


def test_noise_is_what_a_neighbour_had_and_comes_with_the_seed() -> None:
    rng = np.random.default_rng(2)
    curves = [_curve(*place) for place in _places()]
    curves = [Curve(c.values, c.metric + 0.03 * rng.standard_normal(EPOCHS)) for c in curves]
    landscape, values = Surrogate(SPACE, curves, EPOCHS), {"x": 0.5, "y": 0.5}
    drawn = [landscape.noisy_curve(values, np.random.default_rng(seed)) for seed in (1, 1, 2, 3, 4, 5)]
    assert (drawn[0] == drawn[1]).all()
    assert len({tuple(one) for one in drawn}) > 1


@pytest.mark.parametrize(("space", "values"), [({}, {}), (SPACE, {"x": 0.5, "y": 0.5})])
@pytest.mark.parametrize("count", [1, 2])
def test_a_trial_or_two_are_a_landscape(space: Space, values: dict[str, Any], count: int) -> None:
    curves = [Curve(values, np.linspace(0.1, 0.8 + 0.1 * n, EPOCHS)) for n in range(count)]
    landscape = Surrogate(space, curves, EPOCHS)
    assert landscape.curve(values)[-1] == pytest.approx(np.mean([c.metric[-1] for c in curves]), abs=0.01)
    assert landscape.trust().trials == count
    assert (landscape.trust().error is None) == (count == 1)


def test_nothing_to_interpolate_is_refused() -> None:
    with pytest.raises(ValueError, match="no curve"):
        Surrogate(SPACE, [Curve({"x": 0, "y": 0}, np.full(EPOCHS, np.nan))], EPOCHS)
