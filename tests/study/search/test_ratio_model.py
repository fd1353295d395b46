from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import cho_solve
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel

from study.search.ratio_model import Layout, RatioModel, Rows, fit_params, log_posterior

RATIOS = np.log([10.0, 20.0, 50.0, 100.0, 200.0])
SEVERAL = Layout((0, 1, 2, 2, 2), cells=5, tasks=2, early=True, centre=math.log(50), last_stage=0.25)


def _rows(count: int, layout: Layout, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    cell = rng.integers(0, layout.cells, count)
    fidelity = np.where(rng.random(count) < 0.3, 0.4, 1.0) if layout.early else np.ones(count)
    task = (cell >= 3).astype(int) if layout.tasks > 1 else np.zeros(count, dtype=int)
    return Rows(rng.random((count, len(layout.groups))), RATIOS[cell], cell, task, fidelity, np.arange(count))


def _with_early_epochs(rows: Rows) -> Rows:
    """Return rows, and before them each training after a quarter or a half of its epochs."""
    early = replace(rows, fidelity=np.where(rows.trial % 2, 0.25, 0.5))
    return early.followed_by(replace(rows, fidelity=np.ones(len(rows))))


def _params(layout: Layout, **changes: float) -> np.ndarray:
    """Return the logarithms of the priors' centres, some of them changed."""
    priors = layout.priors()
    return np.log([changes.get(name.replace(" ", "_"), prior.centre) for name, prior in priors.items()])


def test_with_one_cell_it_predicts_as_scikit_learn_does() -> None:
    layout = Layout((0, 1))
    rows, asked = _rows(30, layout), _rows(7, layout, seed=1)
    values = np.sin(4 * rows.points[:, 0]) + rows.points[:, 1] ** 2
    model = RatioModel(layout, rows, values, _params(layout, length_0=0.3, length_1=0.9, shared=1.7, noise=0.05))
    kernel = ConstantKernel(4.0) + ConstantKernel(1.7) * Matern([0.3, 0.9], nu=2.5) + WhiteKernel(0.05)
    other = GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(rows.points, values)
    mean, deviation = model.predict(asked)
    expected, spread = other.predict(asked.points, return_std=True)
    noise_free = np.sqrt(spread**2 - 0.05 * values.std() ** 2)
    assert mean == pytest.approx(expected, abs=1e-6)
    assert deviation == pytest.approx(noise_free, rel=1e-5)
    targets = (values - values.mean()) / values.std()
    prior = sum(
        ((at - math.log(p.centre)) / p.width) ** 2 / 2
        for at, p in zip(model.log_params, layout.priors().values(), strict=True)
    )
    density, _ = log_posterior(model.log_params, rows, targets, layout)
    assert density + prior == pytest.approx(other.log_marginal_likelihood_value_, abs=1e-5)


def test_with_several_ratios_its_parts_are_the_stated_kernels() -> None:
    layout = Layout((0, 1), cells=5, centre=math.log(50))
    rows, asked = _rows(25, layout), _rows(6, layout, seed=1)
    values = np.random.default_rng(2).standard_normal(25)
    parts = {"shared": 1.1, "moving": 0.6, "ratio": 0.9, "ratio_length": 0.8, "cell": 0.2, "growth": 1.0, "noise": 0.1}
    params = _params(layout, length_0=0.5, length_1=0.4, **parts)
    matern, near = Matern([0.5, 0.4], nu=2.5), RBF(0.8)

    def covariance(one: Rows, other: Rows) -> np.ndarray:
        by_x, by_ratio = (
            matern(one.points, other.points),
            near(*(r.log_ratio[:, None] / math.log(10) for r in (one, other))),
        )
        same_cell = one.cell[:, None] == other.cell[None]
        return np.asarray(4.0 + (1.1 + 0.6 * by_ratio) * by_x + 0.9 * by_ratio + 0.2 * same_cell)

    inverse = np.linalg.inv(covariance(rows, rows) + 0.1 * np.eye(25))
    targets = (values - values.mean()) / values.std()
    mean, deviation = RatioModel(layout, rows, values, params).predict(asked)
    across = covariance(asked, rows)
    assert mean == pytest.approx(values.mean() + values.std() * across @ inverse @ targets, abs=1e-5)
    variance = np.diag(covariance(asked, asked) - across @ inverse @ across.T)
    assert deviation == pytest.approx(values.std() * np.sqrt(variance), rel=1e-4)


def test_the_gradient_of_every_hyperparameter_is_right() -> None:
    rows = _with_early_epochs(_rows(20, SEVERAL))
    values = np.random.default_rng(1).standard_normal(40)
    at = _params(SEVERAL) + 0.1 * np.random.default_rng(2).standard_normal(len(SEVERAL.priors()))
    _, slope = log_posterior(at, rows, values, SEVERAL)
    for name, step, found in zip(SEVERAL.priors(), 1e-5 * np.eye(len(at)), slope, strict=True):
        ahead, behind = (log_posterior(at + s, rows, values, SEVERAL)[0] for s in (step, -step))
        assert found == pytest.approx((ahead - behind) / 2e-5, abs=1e-4), name


def test_equal_rows_give_equal_models() -> None:
    rows = _rows(40, SEVERAL)
    values = np.random.default_rng(1).standard_normal(40)
    assert (fit_params(SEVERAL, rows, values) == fit_params(SEVERAL, rows, values)).all()


def test_pending_trials_count_as_if_each_had_given_its_posterior_mean() -> None:
    layout = Layout((0, 1), cells=5, centre=math.log(50))
    rows, asked = _rows(20, layout), _rows(8, layout, seed=2)
    pending = replace(_rows(3, layout, seed=1), trial=np.full(3, -1))
    values = rows.points.sum(axis=1)
    params = _params(layout)
    model = RatioModel(layout, rows, values, params)
    mean, deviation = model.predict(asked, pending)
    plain, wider = model.predict(asked)
    assert mean == pytest.approx(plain)
    assert (deviation < wider).all()
    believed = RatioModel(layout, rows.followed_by(pending), np.concatenate([values, model.mean(pending)]), params)
    relative = believed.predict(asked)[1] / believed.scale
    assert deviation / model.scale == pytest.approx(relative, rel=1e-6)


def test_repeated_seeds_tell_which_cell_is_noisy() -> None:
    layout = Layout((0,), cells=2, centre=RATIOS[0])
    rng = np.random.default_rng(0)
    cell = np.repeat([0, 1], 40)
    points = np.tile(np.repeat(rng.random(10), 4), 2)[:, None]
    rows = Rows(points, RATIOS[cell], cell, np.zeros(80, dtype=int), np.ones(80), np.arange(80))
    noise = np.where(cell == 0, 0.02, 0.2)
    values = np.sin(3 * points[:, 0]) + noise * rng.standard_normal(80)
    found = RatioModel(layout, rows, values, fit_params(layout, rows, values)).noise(rows)
    assert found[0] == pytest.approx(0.02, rel=0.5)
    assert found[-1] == pytest.approx(0.2, rel=0.5)


def test_an_early_value_tells_what_a_running_trial_will_reach() -> None:
    """Curves level + height(x) - early * decay(s): the first epoch of a new setting moves the prediction of its end."""
    layout = Layout((0,), early=True)
    x = np.linspace(0, 1, 12)
    end = 0.7 + 0.1 * np.sin(6 * x)
    points, zero = np.concatenate([x, x])[:, None], np.zeros(24)
    fidelity = np.repeat([1.0, 0.25], 12)
    rows = Rows(points, zero, zero.astype(int), zero.astype(int), fidelity, np.arange(24) % 12)
    values = np.concatenate([end, end - 0.3])
    params = fit_params(layout, rows, values)
    asked = Rows(
        np.array([[1.4]]), np.zeros(1), np.zeros(1, dtype=int), np.zeros(1, dtype=int), np.ones(1), np.array([-1])
    )
    early = replace(asked, fidelity=np.array([0.25]), trial=np.array([12]))
    model = RatioModel(layout, rows, values, params)
    without, with_it = model.predict(asked), model.predict_after(early, np.array([0.5]), asked)
    assert abs(with_it[0][0] - 0.8) < min(abs(without[0][0] - 0.8), 0.03)
    assert with_it[1][0] < without[1][0] / 2


def test_the_first_epochs_of_a_training_count_like_rows_of_it() -> None:
    """`predict_after` is the model conditioned on these rows too, where the scale of the values is kept."""
    rows = _with_early_epochs(_rows(20, SEVERAL))
    values = np.random.default_rng(1).standard_normal(40)
    asked = replace(_rows(1, SEVERAL, seed=3), fidelity=np.ones(1), trial=np.array([-1]))
    own = [replace(asked, fidelity=np.array([share]), trial=np.array([20])) for share in (0.25, 0.5)]
    curve, reached = own[0].followed_by(own[1]), np.array([0.4, 1.5])
    params = _params(SEVERAL, noise=0.3)
    model = RatioModel(SEVERAL, rows, values, params)
    mean, deviation = model.predict_after(curve, reached, asked)
    other = RatioModel(SEVERAL, rows.followed_by(curve), np.concatenate([values, reached]), params)
    targets = (np.concatenate([values, reached]) - model.centre) / model.scale
    other.centre, other.scale, other._weights = model.centre, model.scale, cho_solve((other._root, True), targets)
    expected, spread = other.predict(asked)
    assert mean == pytest.approx(expected, abs=1e-8)
    assert deviation == pytest.approx(spread, rel=1e-6)


def test_epochs_of_one_training_say_less_than_those_of_several() -> None:
    """Noise belongs to a training: three of its epochs near the end do not average it out, three trainings do."""
    layout = Layout((0,), early=True)
    rows = _with_early_epochs(_rows(10, layout))
    values = np.concatenate([np.full(10, 0.4), np.full(10, 0.6)]) + 0.1 * rows.points[:, 0]
    params = _params(layout, noise=0.5, early_noise=0.001)
    asked = replace(_rows(1, layout), points=np.array([[3.0]]), fidelity=np.ones(1), trial=np.array([-1]))
    three = asked.followed_by(asked).followed_by(asked)
    of_one = replace(three, fidelity=np.array([0.97, 0.98, 0.99]), trial=np.array([10, 10, 10]))
    of_three = replace(of_one, trial=np.array([10, 11, 12]))
    reached = np.full(3, 0.7)
    model = RatioModel(layout, rows, values, params)
    alone, several = (model.predict_after(own, reached, asked)[1][0] for own in (of_one, of_three))
    assert several < 0.8 * alone


def test_a_ratio_that_was_never_trained_is_predicted_between_its_neighbours() -> None:
    layout = Layout((0,), cells=5, centre=math.log(50))
    cell = np.repeat(np.arange(5), 8)
    points = np.tile(np.linspace(0, 1, 8), 5)[:, None]
    level = 1 - 0.1 * RATIOS
    rows = Rows(points, RATIOS[cell], cell, np.zeros(40, dtype=int), np.ones(40), np.arange(40))
    values = level[cell] - (points[:, 0] - 0.5) ** 2
    model = RatioModel(layout, rows, values, fit_params(layout, rows, values))
    asked = Rows(np.array([[0.5]]), np.log([35.0]), np.array([-1]), np.zeros(1, dtype=int), np.ones(1), np.array([-1]))
    mean, deviation = model.predict(asked)
    assert mean[0] == pytest.approx(1 - 0.1 * math.log(35), abs=0.02)
    assert 0 < deviation[0] < 0.2
