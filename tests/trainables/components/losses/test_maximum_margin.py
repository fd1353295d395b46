"""The maximum margin loss against its definition, written out in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.losses.label_aware_margin import class_margins
from trainables.components.losses.maximum_margin import maximum_margin_loss, maximum_margins

COUNTS = np.array([5000, 300, 50, 7])
# gaps: right, wrong, right with negative rivals alone, wrong by a lot, level
Z = np.array(
    [[0.9, -0.2, 0.4, 0.1], [0.3, 0.8, -0.9, 0.7], [-0.5, -0.2, 0.6, -0.65], [0.1, -0.1, 0.05, -1.0], [0.5, 0.5, 0, 0]]
)
Y = np.array([0, 3, 2, 3, 0])
M, G, S = 1.29, 1.528, 26.0


def _limits(with_label_margins: bool) -> np.ndarray:
    raw = np.array([1 / n ** (1 / 4) for n in COUNTS])
    return M - 0.5 * raw / raw.max() if with_label_margins else np.full(4, M)


def _margin(z: np.ndarray, y: int, m: float) -> float:
    gap = z[y] - max(z[j] for j in range(len(z)) if j != y)
    return math.exp(-gap - G * m) if gap > 0 else math.exp(-abs(gap) - m)


def _loss(z: np.ndarray, y: int, m: float) -> float:
    own = math.exp(S * (z[y] - _margin(z, y, m)))
    return -math.log(own / (own + sum(math.exp(S * z[j]) for j in range(len(z)) if j != y)))


def _ours(z: np.ndarray, y: np.ndarray, limits: np.ndarray) -> Tensor:
    return maximum_margin_loss(
        torch.from_numpy(z), torch.from_numpy(y), limits=torch.from_numpy(limits), gamma=G, scale=S
    )


@pytest.mark.parametrize("with_label_margins", [True, False])
def test_it_is_its_definition(with_label_margins: bool) -> None:
    limits = _limits(with_label_margins)
    expected = [_loss(z, y, limits[y]) for z, y in zip(Z, Y, strict=True)]
    np.testing.assert_allclose(_ours(Z, Y, limits), expected, rtol=0, atol=1e-10)


def test_every_row_has_the_margin_of_its_own_label() -> None:
    limits = _limits(True)
    together = _ours(Z, Y, limits)
    alone = [_ours(Z[i : i + 1], Y[i : i + 1], limits).item() for i in range(len(Z))]
    assert together.tolist() == alone


def test_the_limits_of_mm_ldam_are_m_less_the_margins_of_ldam() -> None:
    np.testing.assert_allclose(M - class_margins(torch.from_numpy(COUNTS), 0.5), _limits(True), rtol=0, atol=1e-14)


def test_the_margin_falls_with_the_distance_from_the_boundary_on_either_side() -> None:
    gaps = torch.linspace(-2, 2, 81, dtype=torch.float64)
    z = torch.stack([gaps, torch.zeros_like(gaps)], dim=1)
    limits = torch.full((2,), M, dtype=torch.float64)
    margins = maximum_margins(z, torch.zeros(81, dtype=torch.int64), limits=limits, gamma=G)
    assert (margins[:41].diff() > 0).all()
    assert (margins[41:].diff() < 0).all()
    assert margins[40].item() == pytest.approx(math.exp(-M), abs=1e-15)  # a gap of 0
    assert (margins[41] < margins[39]).item()
    assert (margins <= math.exp(-M)).all() and (margins > 0).all()


def test_no_gradient_goes_through_the_margin() -> None:
    z = torch.from_numpy(Z).requires_grad_()
    y, limits = torch.from_numpy(Y), torch.from_numpy(_limits(True))
    margins = maximum_margins(z, y, limits=limits, gamma=G)
    assert not margins.requires_grad
    (found,) = torch.autograd.grad(maximum_margin_loss(z, y, limits=limits, gamma=G, scale=S).sum(), z)
    onehot = torch.nn.functional.one_hot(y, 4)
    shifted = (S * (z.detach() - margins.unsqueeze(1) * onehot)).softmax(dim=1)
    torch.testing.assert_close(found, S * (shifted - onehot), rtol=0, atol=1e-12)


def test_it_is_never_below_scaled_cross_entropy_and_meets_it_for_large_m() -> None:
    z, y = torch.from_numpy(Z), torch.from_numpy(Y)
    plain = cross_entropy(S * z, y)
    assert (_ours(Z, Y, _limits(True)) > plain).all()
    torch.testing.assert_close(_ours(Z, Y, np.full(4, 60.0)), plain, rtol=0, atol=1e-12)


def test_two_classes_have_one_rival() -> None:
    z, y, limits = np.array([[0.2, -0.3], [0.2, -0.3]]), np.array([0, 1]), np.array([M, M - 0.5])
    expected = [_loss(row, label, limits[label]) for row, label in zip(z, y, strict=True)]
    np.testing.assert_allclose(_ours(z, y, limits), expected, rtol=0, atol=1e-12)
