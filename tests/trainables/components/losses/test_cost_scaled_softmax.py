"""The cost-scaled softmax against its definition, written out in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.components.losses.balanced_softmax import balanced_softmax_loss
from trainables.components.losses.cost_scaled_softmax import cost_scaled_loss, frequency_costs
from trainables.components.losses.cross_entropy import cross_entropy

COUNTS = np.array([60, 25, 10, 5])
Z = np.array([[2.0, -1.0, 0.5, 0.0], [0.3, 4.0, -0.9, 1.7], [-5.0, 0.2, 6.0, 0.65], [1.0, 2.0, 3.0, -4.0]])
Y = np.array([0, 3, 2, 1])


def _cost(p: int, q: int) -> float:
    shares = [n / 100 for n in COUNTS]
    return shares[p] if p == q else max(shares[p], shares[q])


def _loss(z: np.ndarray, y: int) -> float:
    terms = [_cost(y, k) * math.exp(z[k]) for k in range(len(z))]
    return -math.log(terms[y] / sum(terms))


def test_costs_are_the_larger_share_of_the_two_classes() -> None:
    expected = [[_cost(p, q) for q in range(4)] for p in range(4)]
    np.testing.assert_allclose(frequency_costs(torch.from_numpy(COUNTS)), expected, rtol=0, atol=1e-15)


def test_it_is_its_definition() -> None:
    expected = [_loss(z, y) for z, y in zip(Z, Y, strict=True)]
    costs = frequency_costs(torch.from_numpy(COUNTS))
    ours = cost_scaled_loss(torch.from_numpy(Z), torch.from_numpy(Y), costs=costs)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_equal_costs_are_cross_entropy() -> None:
    z, y = torch.from_numpy(Z), torch.from_numpy(Y)
    torch.testing.assert_close(cost_scaled_loss(z, y, costs=frequency_costs(torch.full((4,), 9))), cross_entropy(z, y))


def test_the_smallest_class_sees_balanced_softmax_and_the_largest_cross_entropy() -> None:
    z, counts = torch.from_numpy(Z), torch.from_numpy(COUNTS)
    costs, largest, smallest = frequency_costs(counts), torch.zeros(4, dtype=torch.int64), torch.full((4,), 3)
    torch.testing.assert_close(cost_scaled_loss(z, largest, costs=costs), cross_entropy(z, largest))
    torch.testing.assert_close(
        cost_scaled_loss(z, smallest, costs=costs), balanced_softmax_loss(z, smallest, class_counts=counts)
    )


def test_a_factor_of_a_row_changes_nothing() -> None:
    z, y, costs = torch.from_numpy(Z), torch.from_numpy(Y), frequency_costs(torch.from_numpy(COUNTS))
    factors = torch.tensor([[0.1], [2.0], [30.0], [7.0]], dtype=torch.float64)
    torch.testing.assert_close(cost_scaled_loss(z, y, costs=factors * costs), cost_scaled_loss(z, y, costs=costs))


def test_a_class_without_images_is_named() -> None:
    with pytest.raises(ValueError, match=r"`class_counts` must be at least 1 in every class, got \[3, 0\]"):
        frequency_costs(torch.tensor([3, 0]))
