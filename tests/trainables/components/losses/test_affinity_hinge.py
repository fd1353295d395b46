from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainables.components.losses.affinity_hinge import affinity_margin_loss

D = np.array([[1.0, 0.5, 0.1, 0.3], [0.9, 0.05, 0.6, 0.2], [0.2, 0.2, 0.2, 0.2], [1e-30, 0.7, 1.0, 1e-5]])
Y = np.array([0, 2, 1, 0])


@pytest.mark.parametrize("margin", [0.01, 0.4, 1.0])
@pytest.mark.parametrize("average", [False, True])
def test_is_equation_6(margin: float, average: bool) -> None:
    expected = []
    for d, y in zip(D, Y, strict=True):
        total = sum(max(0.0, margin + d[j] - d[y]) for j in range(4) if j != y)
        expected.append(total / 3 if average else total)
    ours = affinity_margin_loss(
        torch.from_numpy(np.log(D)), torch.from_numpy(Y), margin=margin, average_over_classes=average
    )
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@settings(max_examples=50, deadline=None)
@given(
    log_d=hnp.arrays(np.float64, (4, 5), elements=st.floats(-800, 0)),
    label=st.integers(0, 4),
    margin=st.floats(0, 2),
)
def test_is_between_0_and_its_bound(log_d: np.ndarray, label: int, margin: float) -> None:
    losses = affinity_margin_loss(torch.from_numpy(log_d), torch.full((4,), label), margin=margin)
    assert (losses >= 0).all() and (losses <= 4 * (1 + margin) + 1e-12).all()


def test_bounds_are_reached() -> None:
    log_d = torch.tensor([[0.0, -800.0, -800.0]], dtype=torch.float64)
    best = affinity_margin_loss(log_d, torch.tensor([0]), margin=0.75)
    worst = affinity_margin_loss(
        torch.tensor([[-800.0, 0.0, 0.0]], dtype=torch.float64), torch.tensor([0]), margin=0.75
    )
    assert best.item() == 0.0 and worst.item() == 2 * 1.75


def test_a_fulfilled_margin_has_no_gradient() -> None:
    log_d = torch.log(torch.tensor([[0.9, 0.1, 0.05]])).requires_grad_()
    affinity_margin_loss(log_d, torch.tensor([0]), margin=0.5).sum().backward()
    assert log_d.grad is not None and torch.equal(log_d.grad, torch.zeros(1, 3))


def test_negative_margin_is_named() -> None:
    with pytest.raises(ValueError, match=r"`margin` must be >= 0, got -1"):
        affinity_margin_loss(torch.zeros(1, 2), torch.tensor([0]), margin=-1)
