"""The linear and the cosine head against their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.components.heads import CosineHead, LinearHead
from trainables.components.heads.cosine_head import NO_DIRECTION, unit_rows


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_a_product_and_a_bias(bias: bool) -> None:
    head = LinearHead(5, 3, bias=bias).double()
    features = torch.randn(4, 5, dtype=torch.float64)
    expected = features.numpy() @ head.weight.detach().numpy().T
    if head.bias is not None:
        torch.nn.init.normal_(head.bias)
        expected += head.bias.detach().numpy()
    np.testing.assert_allclose(head(features).detach().numpy(), expected, rtol=1e-12)
    assert (head.bias is not None) == bias
    assert head.penalty() is None


def test_linear_starts_with_the_variance_of_he_and_no_bias() -> None:
    torch.manual_seed(0)
    head = LinearHead(400, 100)
    assert head.weight.var().item() == pytest.approx(2 / 400, rel=0.03)
    assert head.bias is not None
    assert not head.bias.any()


def test_cosine_is_the_cosine() -> None:
    torch.manual_seed(0)
    head = CosineHead(5, 3).double()
    with torch.no_grad():
        head.weight.mul_(torch.tensor([[0.1], [1.0], [30.0]]))
    features = torch.randn(4, 5, dtype=torch.float64)
    f, w = features.numpy(), head.weight.detach().numpy()
    expected = f @ w.T / np.linalg.norm(f, axis=1)[:, None] / np.linalg.norm(w, axis=1)
    np.testing.assert_allclose(head(features).detach().numpy(), expected, rtol=1e-12)
    assert head.penalty() is None


def test_cosine_knows_no_length() -> None:
    head, features = CosineHead(5, 3), torch.randn(4, 5)
    torch.testing.assert_close(head(1e3 * features), head(features))
    assert head(torch.randn(1000, 5)).abs().max() <= 1 + 1e-6


def test_cosine_starts_with_rows_of_length_one_in_all_directions() -> None:
    torch.manual_seed(0)
    weight = CosineHead(64, 500).weight
    torch.testing.assert_close(weight.norm(dim=1), torch.ones(500))
    assert weight.mean().abs() < 0.01


def test_features_without_direction_give_zero_and_leave_the_network_alone() -> None:
    features = torch.zeros(2, 5, requires_grad=True)
    cosines = CosineHead(5, 3)(features)
    assert not cosines.any()
    cosines.sum().backward()
    assert features.grad is not None
    assert not features.grad.any()


def test_short_rows_keep_their_direction_above_the_threshold() -> None:
    direction = torch.tensor([[0.6, 0.8]])
    torch.testing.assert_close(unit_rows(2 * NO_DIRECTION * direction), direction)
    assert not unit_rows(0.5 * NO_DIRECTION * direction).any()
