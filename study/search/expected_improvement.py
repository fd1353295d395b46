"""The logarithm of expected improvement, computed without underflow, and its factor for noisy results."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfc, erfcx

from study.search.unit_cube import Floats

_HALF_LOG_TWO_PI = math.log(2 * math.pi) / 2


def log_expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """Return log E[max(f - best, 0)] for normal f.

    Far below the best, the expectation underflows to 0 and candidates could not be told apart; its logarithm does not.
    Source: Ament et al. 2023, "Unexpected Improvements to Expected Improvement for Bayesian Optimization", section 4.1.

    Args:
        mean: means of f, (n,).
        deviation: standard deviations of f, (n,), positive.
        best: the value to improve on.
    """
    z = (mean - best) / deviation
    return np.asarray(_log_h(z) + np.log(deviation))


def log_augmentation(deviation: Floats, noise: Floats) -> Floats:
    """Return log(1 - noise / sqrt(deviation^2 + noise^2)), which falls where a further result would tell little new.

    Expected improvement alone repeats a good setting again and again, because its value is never known exactly.
    Source: Huang et al. 2006, "Global Optimization of Stochastic Black-Box Systems via Sequential Kriging
    Meta-Models", augmented expected improvement.

    Args:
        deviation: standard deviations of the noise-free value, (n,), positive.
        noise: standard deviations of the noise of a result, (n,), not negative.
    """
    both = np.hypot(deviation, noise)
    # 1 - noise / both, without cancellation where the noise is much larger
    return np.asarray(2 * np.log(deviation) - np.log(both) - np.log(both + noise))


def _log_h(z: Floats) -> Floats:
    """Return log(phi(z) + z Phi(z)), where phi and Phi are the normal density and distribution."""
    near = np.maximum(z, -1.0)
    density = np.exp(-(near**2) / 2 - _HALF_LOG_TWO_PI)
    direct = np.log(density + near * erfc(-near / math.sqrt(2)) / 2)
    far = np.minimum(z, -1.0)
    # phi(z) (1 + z Phi(z) / phi(z)), where the second factor falls as 1 / z^2
    ratio = math.sqrt(math.pi / 2) * erfcx(-far / math.sqrt(2)) * -far
    lost = np.where(far > -1e4, np.log1p(-np.minimum(ratio, 1 - 1e-15)), -2 * np.log(-far))
    return np.where(z > -1.0, direct, -(far**2) / 2 - _HALF_LOG_TWO_PI + lost)
