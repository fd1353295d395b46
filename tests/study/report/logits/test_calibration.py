from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax as scipy_log_softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from study.report.logits.calibration import (
    brier_score,
    classwise_calibration_error,
    expected_calibration_error,
    fitted_temperature,
    log_softmax,
    negative_log_likelihood,
    reliability,
)


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, K) and labels that are drawn from their softmax, so that the logits are calibrated."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (4000, 5))
    probabilities = np.exp(scipy_log_softmax(logits, axis=1))
    labels = (probabilities.cumsum(axis=1) < rng.random((4000, 1))).sum(axis=1)
    return logits, labels


def test_the_expected_calibration_error_of_an_example_worked_by_hand() -> None:
    # five bins (0, .2] ... (.8, 1]; confidences .5, .6 | .7, .75 | .9, 1: two bins right at their upper edge
    predicted = np.array([0.5, 0.6, 0.7, 0.75, 0.9, 1.0])
    probabilities = np.stack([predicted, 1 - predicted], axis=1)
    labels = np.array([0, 1, 0, 0, 1, 0])
    # bin (.4, .6]: 1 of 2 right, mean .55; bin (.6, .8]: 2 of 2, mean .725; bin (.8, 1]: 1 of 2, mean .95
    expected = (2 * 0.05 + 2 * 0.275 + 2 * 0.45) / 6
    assert expected_calibration_error(probabilities, labels, bins=5) == pytest.approx(expected, abs=1e-12)
    # class 0 has the same bins; class 1 has 0 and .1 in the first (1 of 2 true, mean .05), .25 and .3 in the second
    # (0 of 2, mean .275), .4 at the edge of the second (true), .5 in the third (false)
    first = abs(1 - 0.1) / 6
    second = abs(1 - (0.25 + 0.3 + 0.4)) / 6
    third = abs(0 - 0.5) / 6
    both = classwise_calibration_error(probabilities, labels, bins=5)
    assert both == pytest.approx((expected + first + second + third) / 2, abs=1e-12)


def test_bins_are_those_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = drawn
    probabilities = np.exp(log_softmax(logits))
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    found = reliability(confidence, right)
    filled = found.count > 0
    accuracy, mean = calibration_curve(right, confidence, n_bins=15, strategy="uniform")
    assert np.allclose(found.right[filled] / found.count[filled], accuracy)
    assert np.allclose(found.confidence[filled] / found.count[filled], mean)
    assert found.count.sum() == len(labels)


def test_certainty_that_is_right_has_no_error_and_certainty_that_is_wrong_the_largest() -> None:
    sure = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert expected_calibration_error(sure, np.array([0, 1])) == brier_score(sure, np.array([0, 1])) == 0
    assert expected_calibration_error(sure, np.array([1, 0])) == 1
    assert brier_score(sure, np.array([1, 0])) == 2


def test_nll_and_brier_score_are_those_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = drawn
    log_probabilities = log_softmax(logits)
    assert np.allclose(log_probabilities, scipy_log_softmax(logits, axis=1))
    probabilities, classes = np.exp(log_probabilities), list(range(5))
    assert negative_log_likelihood(log_probabilities, labels) == pytest.approx(
        log_loss(labels, probabilities, labels=classes), rel=1e-9
    )
    one_vs_rest = sum(brier_score_loss(labels == k, probabilities[:, k]) for k in classes)
    assert brier_score(probabilities, labels) == pytest.approx(one_vs_rest, rel=1e-9)


def test_logits_that_underflow_have_a_finite_nll() -> None:
    assert negative_log_likelihood(log_softmax([[0.0, -65504.0]]), np.array([1])) == 65504


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_a_known_temperature_is_found_again(drawn: tuple[np.ndarray, np.ndarray], temperature: float) -> None:
    logits, labels = drawn
    found = fitted_temperature(logits * temperature, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    at_best, beside = (
        negative_log_likelihood(log_softmax(logits * temperature, t), labels) for t in (found, found * 1.02)
    )
    assert at_best < beside
    before, after = (
        expected_calibration_error(np.exp(log_softmax(logits * temperature, t)), labels) for t in (1.0, found)
    )
    assert after < 0.02 and (temperature == 1 or after < before / 3)


def test_without_a_mistake_there_is_nothing_to_fit() -> None:
    assert fitted_temperature(np.eye(3) * 4, np.arange(3)) == 1
    assert fitted_temperature(np.eye(3) * 4, np.array([0, 1, 1])) > 1
