"""The closed form of the affinity regulariser against its pairs, in value, gradient and precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainables.components.heads.prototype_diversity import diversity_regulariser, float64_device


def over_pairs(prototypes: Tensor) -> Tensor:
    """Equations 7 and 8, one difference of two prototypes for every pair."""
    first, second = torch.triu_indices(len(prototypes), len(prototypes), offset=1)
    distances = (prototypes[first] - prototypes[second]).square().sum(1)
    return (distances - distances.mean()).square().mean()


def both(prototypes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return value and gradient of the closed form, then of the pairs, both in float64."""
    found, pairs = prototypes.clone().requires_grad_(), prototypes.double().requires_grad_()
    values = diversity_regulariser(found), over_pairs(pairs)
    gradients = torch.autograd.grad(values[0], found)[0], torch.autograd.grad(values[1], pairs)[0]
    return values[0].detach().double(), gradients[0].double(), values[1].detach(), gradients[1]


@given(
    seed=st.integers(0, 2**31),
    count=st.integers(3, 40),
    dim=st.integers(1, 40),
    offset=st.sampled_from([0.0, 5.0, -30.0]),
)
@settings(max_examples=60, deadline=None)
def test_value_and_gradient_are_those_of_the_pairs(seed: int, count: int, dim: int, offset: float) -> None:
    torch.manual_seed(seed)
    value, gradient, expected, expected_gradient = both(offset + torch.randn(count, dim, dtype=torch.float64))
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-24)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12 * float(gradient.abs().max()))


@pytest.mark.parametrize(("count", "dim"), [(2500, 6), (1025, 3)])
def test_several_blocks_of_rows_are_those_of_the_pairs(count: int, dim: int) -> None:
    torch.manual_seed(0)
    value, gradient, expected, expected_gradient = both(torch.randn(count, dim, dtype=torch.float64))
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-12 * float(gradient.abs().max()))


@pytest.mark.parametrize(("count", "dim"), [(50, 128), (17, 16), (300, 16), (2500, 64)])
@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_float32_prototypes_lose_no_more_than_float32_rounds(count: int, dim: int, offset: float) -> None:
    torch.manual_seed(0)
    value, gradient, expected, expected_gradient = both(offset + (2 / dim) ** 0.5 * torch.randn(count, dim))
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-6 * float(gradient.abs().max()))


@pytest.mark.parametrize(("count", "dim"), [(3, 5), (5, 3), (4, 3), (2, 1)])
def test_gradcheck(count: int, dim: int) -> None:
    torch.manual_seed(0)
    prototypes = torch.randn(count, dim, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(diversity_regulariser, prototypes)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("dim", [1, 4])
def test_one_pair_or_none_has_no_variance(count: int, dim: int) -> None:
    torch.manual_seed(0)
    prototypes = torch.randn(count, dim, dtype=torch.float64, requires_grad=True)
    value = diversity_regulariser(prototypes)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-28)
    assert prototypes.grad is not None
    torch.testing.assert_close(prototypes.grad, torch.zeros_like(prototypes), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("count", "dim"), [(2, 3), (6, 3), (3, 6), (2000, 2)])
def test_equal_prototypes_have_no_penalty_and_no_gradient(count: int, dim: int) -> None:
    prototypes = torch.full((count, dim), 1.5, requires_grad=True)
    value = diversity_regulariser(prototypes)
    value.backward()
    assert value.item() == 0.0
    assert prototypes.grad is not None and not prototypes.grad.any()


def test_a_regular_simplex_among_as_many_dimensions_as_it_needs_has_no_penalty() -> None:
    simplex = torch.eye(9, dtype=torch.float64) - 1 / 9
    basis = torch.linalg.svd(simplex).Vh[:8]  # 9 corners in 8 dimensions
    assert diversity_regulariser(3 * simplex @ basis.T).item() == pytest.approx(0, abs=1e-24)


def test_the_faces_of_8631_people_need_no_pairs() -> None:
    """931 million pairs of 43,155 prototypes would take 7 GB for their distances alone."""
    torch.manual_seed(0)
    prototypes = torch.randn(5 * 8631, 8, requires_grad=True)
    value = diversity_regulariser(prototypes)
    value.backward()
    # D of two N(0, 1) rows is 2 chi^2(8), whose variance is 64
    assert value.item() == pytest.approx(64, rel=0.02)
    assert prototypes.grad is not None and prototypes.grad.isfinite().all()


def test_a_device_without_float64_computes_on_the_processor() -> None:
    assert float64_device(torch.device("mps")) == torch.device("cpu")
    assert float64_device(torch.device("cpu")) == torch.device("cpu")
    assert float64_device(torch.device("cuda", 1)) == torch.device("cuda", 1)
