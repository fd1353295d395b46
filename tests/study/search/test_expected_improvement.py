from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from study.search.expected_improvement import log_augmentation, log_expected_improvement


@pytest.mark.parametrize(
    ("mean", "deviation", "best"), [(0.3, 0.1, 0.2), (0.2, 0.1, 0.3), (0.0, 2.0, 1.9), (-1.0, 1.0, 3.0)]
)
def test_it_is_the_logarithm_of_the_integral(mean: float, deviation: float, best: float) -> None:
    integral, _ = quad(lambda f: (f - best) * norm.pdf(f, mean, deviation), best, best + 12 * deviation, epsabs=0)
    (found,) = log_expected_improvement(np.array([mean]), np.array([deviation]), best)
    assert found == pytest.approx(math.log(integral), rel=1e-6)


def test_far_below_the_best_it_is_the_known_series_and_still_rises() -> None:
    means = -np.array([1e7, 1e5, 1e4 + 1, 1e4 - 1, 1e3, 50.0, 10.0, 1.0 + 1e-9, 1.0 - 1e-9, 0.0, 5.0])
    found = log_expected_improvement(means, np.ones_like(means), 0.0)
    assert np.isfinite(found).all()
    order = np.argsort(means)
    assert (np.diff(found[order]) > 0).all()
    z = 50.0  # log(phi(z) / z^2 (1 - 3 / z^2 + 15 / z^4 - ...))
    series = -(z**2) / 2 - math.log(2 * math.pi) / 2 - 2 * math.log(z) + math.log1p(-3 / z**2 + 15 / z**4)
    assert found[5] == pytest.approx(series, abs=1e-6)


def test_a_result_that_tells_little_new_counts_little() -> None:
    deviation, noise = np.array([0.01, 0.01, 0.01, 1e-9]), np.array([0.0, 0.01, 0.1, 1.0])
    found = log_augmentation(deviation, noise)
    direct = np.log(1 - noise[:3] / np.sqrt(deviation[:3] ** 2 + noise[:3] ** 2))
    assert found[:3] == pytest.approx(direct, rel=1e-9)
    assert found[3] == pytest.approx(math.log(1e-18 / 2), rel=1e-12)  # where the direct form is log(0)
