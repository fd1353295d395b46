"""Range loss against loops over the equations of Zhang et al., 2017."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.components.losses.range_loss import inter_class_hinge, intra_class_ranges, range_loss


def _papers_intra(f: np.ndarray, y: np.ndarray, k: int) -> float:
    """L_intra = sum over identities of k / sum_j 1/D_j, D_j the j-th largest ||x1 - x2||^2 of the identity."""
    total = 0.0
    for identity in set(y.tolist()):
        members = [f[i] for i in range(len(y)) if y[i] == identity]
        found = sorted((float(((a - b) ** 2).sum()) for a, b in combinations(members, 2)), reverse=True)[:k]
        if found:
            total += len(found) / sum(1 / d for d in found)
    return total


def _papers_inter(f: np.ndarray, y: np.ndarray, m: float) -> float:
    """L_inter = max(m - min ||mean_Q - mean_R||^2, 0)."""
    means = [np.mean([f[i] for i in range(len(y)) if y[i] == c], axis=0) for c in sorted(set(y.tolist()))]
    nearest = min((float(((a - b) ** 2).sum()) for a, b in combinations(means, 2)), default=np.inf)
    return max(m - nearest, 0.0)


@given(seed=st.integers(0, 2**31), classes=st.integers(1, 5), size=st.integers(1, 12), k=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_is_the_papers_equation(seed: int, classes: int, size: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    f, y = rng.normal(size=(size, 3)), rng.integers(classes, size=size)
    weights: dict[str, Any] = {"margin": 4.0, "intra_weight": 0.7, "inter_weight": 0.3, "largest": k}
    ours = range_loss(torch.from_numpy(f), torch.from_numpy(y), **weights)
    expected = 0.7 * _papers_intra(f, y, k) + 0.3 * _papers_inter(f, y, 4.0)
    assert ours.shape == (size,)
    np.testing.assert_allclose(ours, np.full(size, expected), rtol=0, atol=1e-10)


def test_by_hand() -> None:
    f = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [20.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([1, 1, 1, 0])
    assert intra_class_ranges(f, y).item() == pytest.approx(2 / (1 / 100 + 1 / 25))
    assert inter_class_hinge(f, y, 500.0).item() == pytest.approx(500 - (17**2 + 4**2))
    assert inter_class_hinge(f, y, 300.0).item() == 0


def test_a_class_of_one_image_has_no_range_and_one_of_two_has_one() -> None:
    f = torch.tensor([[0.0], [3.0], [9.0]], dtype=torch.float64)
    assert intra_class_ranges(f, torch.tensor([0, 1, 2])).item() == 0
    assert intra_class_ranges(f, torch.tensor([0, 0, 2])).item() == pytest.approx(9)


def test_a_batch_of_one_class_has_no_hinge() -> None:
    f = torch.randn(3, 2, requires_grad=True)
    hinge = inter_class_hinge(f, torch.zeros(3, dtype=torch.int64), 5.0)
    hinge.backward()
    assert f.grad is not None
    assert hinge.item() == 0 and not f.grad.any()


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 3]])
def test_coinciding_features_give_finite_gradients(labels: list[int]) -> None:
    f = torch.ones(4, 3, requires_grad=True)
    loss = range_loss(f, torch.tensor(labels), margin=1.0, intra_weight=1.0, inter_weight=1.0)
    loss.mean().backward()
    assert f.grad is not None
    assert torch.isfinite(loss).all() and torch.isfinite(f.grad).all()


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 1, 2], [0, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 1]])
def test_its_gradient_is_the_derivative(labels: list[int]) -> None:
    torch.manual_seed(0)
    f = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: range_loss(x, torch.tensor(labels), margin=9.0, intra_weight=1.0, inter_weight=1.0), f
    )


def test_half_precision_is_promoted_and_nothing_waits_for_the_device() -> None:
    values: dict[str, Any] = {"margin": 1.0, "intra_weight": 1.0, "inter_weight": 1.0}
    assert range_loss(torch.ones(2, 2, dtype=torch.bfloat16), torch.arange(2), **values).dtype == torch.float32
    f = torch.empty(4, 3, device="meta", requires_grad=True)
    range_loss(f, torch.empty(4, dtype=torch.int64, device="meta"), **values).sum().backward()
