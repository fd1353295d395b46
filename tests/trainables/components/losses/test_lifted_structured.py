"""Lifted structured loss against a loop over eq 4 of Song et al., 2016."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.components.losses.lifted_structured import lifted_structured_loss


def _papers_loss(f: np.ndarray, y: np.ndarray, alpha: float) -> float:
    """J = 1/(2|P|) sum_P max(0, J_ij)^2, J_ij = log(sum_N exp(a - D_ik) + sum_N exp(a - D_jl)) + D_ij."""
    size = len(y)
    d = [[float(np.sqrt(((f[i] - f[j]) ** 2).sum())) for j in range(size)] for i in range(size)]
    pairs = [(i, j) for i in range(size) for j in range(i + 1, size) if y[i] == y[j]]
    total = 0.0
    for i, j in pairs:
        negatives = [alpha - d[i][k] for k in range(size) if y[k] != y[i]]
        negatives += [alpha - d[j][k] for k in range(size) if y[k] != y[j]]
        if negatives:
            total += max(0.0, float(np.log(np.sum(np.exp(negatives))) + d[i][j])) ** 2
    return total / (2 * len(pairs)) if pairs else 0.0


@given(
    seed=st.integers(0, 2**31),
    classes=st.integers(1, 5),
    size=st.integers(1, 12),
    alpha=st.sampled_from([0.1, 1.0, 5.0]),
)
@settings(max_examples=60, deadline=None)
def test_is_the_papers_equation(seed: int, classes: int, size: int, alpha: float) -> None:
    rng = np.random.default_rng(seed)
    f, y = 2 * rng.normal(size=(size, 3)), rng.integers(classes, size=size)
    ours = lifted_structured_loss(torch.from_numpy(f), torch.from_numpy(y), margin=alpha)
    assert ours.shape == (size,)
    np.testing.assert_allclose(ours, np.full(size, _papers_loss(f, y, alpha)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [2, 2, 2, 2]])
def test_a_batch_without_pairs_or_of_one_class_is_zero_with_zero_gradient(labels: list[int]) -> None:
    f = torch.randn(4, 3, requires_grad=True)
    loss = lifted_structured_loss(f, torch.tensor(labels), margin=1.0)
    loss.mean().backward()
    assert f.grad is not None
    assert not loss.any() and not f.grad.any()


def test_classes_far_apart_and_narrow_cost_nothing() -> None:
    f = torch.tensor([[0.0], [0.1], [50.0], [50.1]])
    assert not lifted_structured_loss(f, torch.tensor([0, 0, 1, 1]), margin=1.0).any()


@pytest.mark.parametrize("factor", [0.0, 1e-20, 1.0, 1e3, 1e6])
def test_loss_and_gradient_are_finite_at_any_scale(factor: float) -> None:
    f = (factor * torch.randn(6, 3)).requires_grad_()
    loss = lifted_structured_loss(f, torch.tensor([0, 0, 1, 1, 2, 2]), margin=1.0)
    loss.mean().backward()
    assert f.grad is not None
    assert torch.isfinite(loss).all() and torch.isfinite(f.grad).all()


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 1, 2], [0, 1, 0, 1, 0, 1]])
def test_its_gradient_is_the_derivative(labels: list[int]) -> None:
    torch.manual_seed(0)
    f = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: lifted_structured_loss(x, torch.tensor(labels), margin=1.0), f)


def test_half_precision_is_promoted_and_nothing_waits_for_the_device() -> None:
    half = torch.ones(2, 2, dtype=torch.bfloat16)
    assert lifted_structured_loss(half, torch.arange(2), margin=1.0).dtype == torch.float32
    f = torch.empty(4, 3, device="meta", requires_grad=True)
    lifted_structured_loss(f, torch.empty(4, dtype=torch.int64, device="meta"), margin=1.0).sum().backward()
