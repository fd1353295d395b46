"""The offset head and its constraint against loops over eqs 5 and 6 of Kim, Hong and Kim, 2021."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.components.heads import LinearHead, OffsetHead
from trainables.components.heads.offset_head import uniform_constraint


def _head(classes: int = 4, **given: float) -> OffsetHead:
    torch.manual_seed(0)
    head = OffsetHead(3, classes, **given).double()
    head.centers.copy_(torch.randn(classes, 3))
    return head


def _papers_logits(f: np.ndarray, w: np.ndarray, c: np.ndarray) -> list[list[float]]:
    """z_k = w_k . f - c_k . w_k / 2."""
    return [[sum(w_k * x) - sum(c_k * w_k) / 2 for w_k, c_k in zip(w, c, strict=True)] for x in f]


def _papers_constraint(offsets: list[float]) -> float:
    """-H(softmax(-w0)), eq 5."""
    exponentials = [math.exp(-o) for o in offsets]
    p = [e / sum(exponentials) for e in exponentials]
    return sum(q * math.log(q) for q in p)


@pytest.mark.parametrize("classes", [2, 4])
def test_logits_and_penalty_are_the_papers(classes: int) -> None:
    head, f = _head(classes, constraint_weight=0.3), torch.randn(5, 3, dtype=torch.float64)
    w, c = head.weight.detach().numpy(), head.centers.numpy()
    np.testing.assert_allclose(head(f).detach(), _papers_logits(f.numpy(), w, c), rtol=0, atol=1e-10)
    penalty = head.penalty()
    assert penalty is not None
    offsets = [sum(c[k] * w[k]) / 2 for k in range(classes)]
    assert penalty.item() == pytest.approx(0.3 * _papers_constraint(offsets), abs=1e-10)


def test_centres_of_zero_make_it_the_linear_head_without_bias() -> None:
    torch.manual_seed(0)
    linear = LinearHead(6, 4, bias=False)
    torch.manual_seed(0)
    head = OffsetHead(6, 4)
    features = torch.randn(5, 6)
    assert torch.equal(head.weight, linear.weight)
    assert torch.equal(head(features), linear(features))
    penalty = head.penalty()
    assert penalty is not None
    assert penalty.item() == pytest.approx(-math.log(4))


def test_without_the_offset_in_its_logits_it_is_linear_whatever_the_centres() -> None:
    head, features = _head(), torch.randn(5, 3, dtype=torch.float64)
    free = OffsetHead(3, 4, in_logits=False).double()
    free.load_state_dict(head.state_dict())
    torch.testing.assert_close(free(features), features @ head.weight.T)
    assert free.penalty() == head.penalty()


def test_half_way_between_two_centres_two_classes_of_equal_shape_tie() -> None:
    head = OffsetHead(2, 2).double()
    means = torch.tensor([[1.0, 3.0], [-2.0, 5.0]], dtype=torch.float64)
    head.load_state_dict({**head.state_dict(), "weight": means, "centers": means})  # w = Sigma^-1 mu, Sigma = 1
    logits = head(means.mean(dim=0, keepdim=True))
    torch.testing.assert_close(logits[0, 0], logits[0, 1])


@given(offsets=st.lists(st.floats(-50, 50, width=32), min_size=2, max_size=8), shift=st.integers(-100, 100))
@settings(max_examples=50, deadline=None)
def test_a_constant_added_to_all_offsets_changes_neither_softmax_nor_constraint(
    offsets: list[float], shift: int
) -> None:
    w0 = torch.tensor(offsets, dtype=torch.float64)
    torch.testing.assert_close(uniform_constraint(w0 + shift), uniform_constraint(w0), rtol=1e-9, atol=1e-10)
    scores = torch.linspace(-2, 2, len(offsets), dtype=torch.float64)
    torch.testing.assert_close((scores - w0 - shift).softmax(0), (scores - w0).softmax(0), rtol=1e-9, atol=1e-10)


@given(offsets=st.lists(st.floats(-50, 50), min_size=2, max_size=8))
@settings(max_examples=50, deadline=None)
def test_the_constraint_lies_between_minus_log_k_and_zero(offsets: list[float]) -> None:
    value = uniform_constraint(torch.tensor(offsets, dtype=torch.float64)).item()
    assert -math.log(len(offsets)) - 1e-12 <= value <= 0
    assert value == pytest.approx(_papers_constraint(offsets), abs=1e-10)


@pytest.mark.parametrize("classes", [2, 5, 1000])
@pytest.mark.parametrize("level", [0.0, -3.0, 800.0])
def test_equal_offsets_are_its_minimum_with_zero_gradient(classes: int, level: float) -> None:
    w0 = torch.full((classes,), level, dtype=torch.float64, requires_grad=True)
    value = uniform_constraint(w0)
    value.backward()
    assert w0.grad is not None
    assert value.item() == pytest.approx(-math.log(classes), abs=1e-12)
    assert w0.grad.abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_offsets_of_800_give_a_finite_constraint_and_gradient(dtype: torch.dtype) -> None:
    w0 = torch.tensor([800.0, -800.0, 0.0], dtype=dtype, requires_grad=True)
    value = uniform_constraint(w0)
    value.backward()
    assert w0.grad is not None
    assert value.item() == 0 and torch.isfinite(w0.grad).all()


def test_the_constraint_has_the_right_gradient() -> None:
    assert torch.autograd.gradcheck(uniform_constraint, torch.randn(5, dtype=torch.float64, requires_grad=True))


def test_no_gradient_can_reach_the_centres_and_both_terms_reach_the_weights() -> None:
    head = _head()
    assert [name for name, _ in head.named_parameters()] == ["weight"]
    penalty = head.penalty()
    assert penalty is not None
    of_penalty = torch.autograd.grad(penalty, head.weight)[0]
    of_logits = torch.autograd.grad(head(torch.zeros(1, 3, dtype=torch.float64))[0, 0], head.weight)[0]
    assert of_penalty.any()
    torch.testing.assert_close(of_logits[0], -head.centers[0] / 2)  # at f = 0 only the offset has a gradient


def test_a_weight_of_zero_adds_nothing_and_a_switched_off_penalty_moves_nothing() -> None:
    assert _head(constraint_weight=0.0).penalty() is None
    head = _head()
    head.constrains.fill_(0)
    penalty = head.penalty()
    assert penalty is not None
    assert penalty.item() == 0
    assert not torch.autograd.grad(penalty, head.weight)[0].any()
