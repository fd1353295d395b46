"""Ten-fold verification on distances whose accuracy is known, and on digits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.core.config import TrialConfig
from trainables.data import load
from trainables.data.image_pairs import Pairs, draw_pairs
from trainables.training.pair_verification import best_threshold, over_folds, verify
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]


def made(wrong: list[int], size: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Folds of ``size`` pairs of either kind at distances of 1 and 3, some of them on the wrong side."""
    distances, same, folds = [], [], []
    for fold, errors in enumerate(wrong):
        for number in range(2 * size):
            flag = number < size
            far = flag == (number % size < errors)
            distances.append(3.0 if far else 1.0)
            same.append(flag)
            folds.append(fold)
    return np.array(distances), np.array(same), np.array(folds)


def test_known_accuracies() -> None:
    wrong = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    found = over_folds(*made(wrong))
    expected = np.array([1 - 2 * errors / 20 for errors in wrong])
    assert np.array_equal(found.accuracies, expected)
    assert found.thresholds.tolist() == [2.0] * 10
    assert found.mean == pytest.approx(expected.mean(), abs=1e-15)
    spread = sum((a - expected.mean()) ** 2 for a in expected) / 9
    assert found.standard_error == pytest.approx(math.sqrt(spread) / math.sqrt(10), abs=1e-15)


def test_a_fold_has_no_say_in_its_own_threshold() -> None:
    distances, same, folds = made([0] * 10)
    distances[folds == 4] *= 10  # its own best threshold would judge all of it right
    found = over_folds(distances, same, folds)
    assert found.accuracies.tolist() == [1.0] * 4 + [0.5] + [1.0] * 5


def test_features_are_compared_by_their_euclidean_distance() -> None:
    features = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 5.5], [9.0, 9.0]])
    first, second = torch.tensor([0, 0] * 2), torch.tensor([1, 2] * 2)
    pairs = Pairs(first, second, torch.tensor([True, False] * 2), torch.tensor([0, 0, 1, 1]))
    found = verify(features, pairs)
    assert found.thresholds.tolist() == [5.25, 5.25]
    assert (found.mean, found.standard_error) == (1.0, 0.0)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.0 + 2**-52, 2.0, 1e300, 5e-324]), st.booleans()), min_size=1)
)
@settings(deadline=None)
def test_no_threshold_is_better(pairs: list[tuple[float, bool]]) -> None:
    distances, same = np.array([d for d, _ in pairs]), np.array([s for _, s in pairs])

    def accuracy(threshold: float) -> float:
        return float(((distances < threshold) == same).mean())

    chosen = best_threshold(distances, same)
    everywhere = [0.0, *distances.tolist(), *np.nextafter(distances, np.inf).tolist(), math.inf]
    assert accuracy(chosen) == max(accuracy(t) for t in everywhere)


def test_extremes() -> None:
    assert best_threshold(np.array([1.0, 2.0]), np.array([True, True])) == math.inf
    assert best_threshold(np.array([1.0, 2.0]), np.array([False, False])) == 1.0
    assert best_threshold(np.array([2.0, 2.0, 2.0]), np.array([True, False, True])) == math.inf


def test_training_makes_digits_easier_to_verify(make_trial: MakeTrial) -> None:
    config = make_trial("affinity", epochs=8)
    trainer = Trainer(config, load(config.data), torch.device("cpu"))
    test = trainer.data.test()
    pairs = draw_pairs(test.labels, 2000, torch.Generator().manual_seed(0))
    before = verify(trainer.features(test), pairs).mean
    while not trainer.finished:
        trainer.run_epoch()
    state = {name: value.clone() for name, value in trainer.network.state_dict().items()}
    features = trainer.features(test)
    assert features.shape == (len(test.labels), trainer.network.backbone.feature_dim)
    after = verify(features, pairs)
    assert before < after.mean and after.mean > 0.85
    assert 0 < after.standard_error < 0.03
    assert all(torch.equal(value, state[name]) for name, value in trainer.network.state_dict().items())
    random = verify(torch.randn(len(test.labels), 5, generator=torch.Generator().manual_seed(0)), pairs)
    assert abs(random.mean - 0.5) < 0.05
