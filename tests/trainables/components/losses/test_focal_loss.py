from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.losses.focal_loss import focal_loss

Z = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [-4.0, 1.5, 1.5]])
Y = np.array([0, 2, 1])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_is_the_papers_equation(gamma: float) -> None:
    p = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    expected = [-((1 - p[i, y]) ** gamma) * np.log(p[i, y]) for i, y in enumerate(Y)]
    ours = focal_loss(torch.from_numpy(Z), torch.from_numpy(Y), gamma=gamma)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gamma_0_is_exactly_cross_entropy_with_its_gradient(dtype: torch.dtype) -> None:
    z = torch.tensor([[2.0, -1.0], [800.0, -800.0], [-800.0, 800.0], [17.0, 0.0]], dtype=dtype)
    labels = torch.zeros(4, dtype=torch.int64)
    ours, theirs = z.clone().requires_grad_(), z.clone().requires_grad_()
    focal, ce = focal_loss(ours, labels, gamma=0.0), cross_entropy(theirs, labels)
    focal.sum().backward()
    ce.sum().backward()
    assert torch.equal(focal, ce)
    assert ours.grad is not None and theirs.grad is not None
    assert torch.equal(ours.grad, theirs.grad)


@pytest.mark.parametrize("gamma", [0.01, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_is_left_to_learn_at_p_1(gamma: float, dtype: torch.dtype) -> None:
    z = torch.tensor([[800.0, 0.0]], dtype=dtype, requires_grad=True)
    loss = focal_loss(z, torch.tensor([0]), gamma=gamma)
    loss.sum().backward()
    assert z.grad is not None
    assert loss.item() == 0.0 and torch.equal(z.grad, torch.zeros_like(z))


def test_larger_gamma_never_raises_the_loss() -> None:
    z, y = torch.from_numpy(Z), torch.from_numpy(Y)
    losses = [focal_loss(z, y, gamma=gamma) for gamma in (0.0, 0.5, 1.0, 2.0, 5.0)]
    assert all((b <= a).all() for a, b in pairwise(losses))


def test_negative_gamma_is_named() -> None:
    with pytest.raises(ValueError, match=r"`gamma` must be >= 0, got -1\.0"):
        focal_loss(torch.zeros(1, 2), torch.tensor([0]), gamma=-1.0)


def test_alpha_multiplies_every_class_and_changes_nothing_at_one() -> None:
    z, y = torch.randn(6, 3), torch.arange(6) % 3
    plain = focal_loss(z, y, gamma=2.0)
    assert torch.equal(focal_loss(z, y, gamma=2.0, alpha=1.0), plain)
    assert torch.equal(focal_loss(z, y, gamma=2.0, alpha=0.25), 0.25 * plain)
    with pytest.raises(ValueError, match="`alpha` must be > 0, got 0"):
        focal_loss(z, y, gamma=2.0, alpha=0.0)
