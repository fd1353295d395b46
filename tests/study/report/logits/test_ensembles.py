from __future__ import annotations

import math

import numpy as np
import pytest

from study.report.logits.calibration import log_softmax
from study.report.logits.ensembles import Ensemble


def test_the_mean_of_the_softmax_not_of_the_logits_nor_of_the_votes() -> None:
    labels = np.array([1, 0])
    ensemble = Ensemble(labels)
    # two networks barely prefer class 0 on the first image, the third is sure of class 1
    members = [[[0.55, 0.45], [0.8, 0.2]], [[0.51, 0.49], [0.6, 0.4]], [[0.01, 0.99], [0.4, 0.6]]]
    for probabilities in members:
        ensemble.add(np.log(probabilities))
    mean = np.array([[1.07 / 3, 1.93 / 3], [1.8 / 3, 1.2 / 3]])
    assert np.allclose(np.exp(ensemble.log_probabilities), mean)
    scores = ensemble.scores((9, 1))
    assert scores["balanced_accuracy"] == scores["accuracy"] == 1
    assert scores["nll"] == pytest.approx(-(math.log(1.93 / 3) + math.log(1.8 / 3)) / 2)
    # by hand: .6 and .6433 fall in the bins (.5333, .6] and (.6, .6667]; both images are right
    assert scores["ece"] == pytest.approx((0.4 + 1 - 1.93 / 3) / 2)


def test_an_ensemble_of_one_network_is_the_network_and_underflow_keeps_the_nll_finite() -> None:
    one = log_softmax([[0.0, -5000.0], [2.0, 1.0]])
    ensemble = Ensemble(np.array([1, 0]))
    ensemble.add(one)
    assert np.array_equal(ensemble.log_probabilities, one)
    ensemble.add(one)
    assert np.allclose(ensemble.log_probabilities, one)
    assert math.isfinite(ensemble.scores((5, 5))["nll"])
