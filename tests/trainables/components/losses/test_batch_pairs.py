from __future__ import annotations

import numpy as np
import torch

from trainables.components.losses.batch_pairs import each_once, pairwise_distances, pairwise_squares, same_class


def test_distances_are_those_of_a_loop() -> None:
    f = np.random.default_rng(0).normal(size=(6, 3))
    expected = [[np.sqrt(sum((a - b) ** 2)) for b in f] for a in f]
    squares, distances = pairwise_squares(torch.from_numpy(f)), pairwise_distances(torch.from_numpy(f))
    away = ~np.eye(6, dtype=bool)
    np.testing.assert_allclose(distances.numpy()[away], np.array(expected)[away], rtol=0, atol=1e-10)
    np.testing.assert_allclose(squares.numpy(), np.square(expected), rtol=0, atol=1e-10)


def test_features_far_from_the_origin_keep_their_digits() -> None:
    f = torch.tensor([[1000.0, 1000.0], [1000.0, 1001.0], [1002.0, 1000.0]])
    torch.testing.assert_close(pairwise_squares(f), pairwise_squares(f - 1000))


def test_coinciding_features_have_distance_zero_and_a_finite_gradient() -> None:
    f = torch.zeros(3, 2, requires_grad=True)
    distances = pairwise_distances(f)
    distances.sum().backward()
    assert f.grad is not None
    assert not distances.any() and not f.grad.any()


def test_the_mean_that_is_taken_off_does_not_disturb_the_gradient() -> None:
    f = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pairwise_squares, f)


def test_every_pair_of_a_class_counts_once() -> None:
    labels = torch.tensor([0, 1, 0, 0])
    assert each_once(same_class(labels)).nonzero().tolist() == [[0, 2], [0, 3], [2, 3]]
