from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.components.losses.focal_loss import focal_loss
from trainables.components.losses.influence_balanced import influence_balanced_loss

Z = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [-4.0, 1.5, 1.5]])
H = np.array([[0.5, -2.0], [0.0, 1.0], [3.0, 4.0]])
Y = np.array([0, 2, 1])
W = np.array([0.2, 1.9, 0.9])
FEATURES, LOGITS, LABELS, WEIGHTS = (torch.from_numpy(a) for a in (H, Z, Y, W))


def _parts(i: int) -> tuple[float, float, float]:
    """Return p_y, CE and the factor at alpha = 1000, as the released code computes them."""
    p = np.exp(Z[i]) / np.exp(Z[i]).sum()
    error = sum(abs(p[k] - (k == Y[i])) for k in range(3))
    return p[Y[i]], -np.log(p[Y[i]]), 1000 / (error * sum(abs(h) for h in H[i]) + 1e-3)


@pytest.mark.parametrize("detach", [True, False])
def test_is_the_papers_equation(detach: bool) -> None:
    expected = [ce * factor for _, ce, factor in map(_parts, range(3))]
    ours = influence_balanced_loss(FEATURES, LOGITS, LABELS, alpha=1000.0, detach=detach)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_focal_form_multiplies_focal_loss(gamma: float) -> None:
    expected = [(1 - p) ** gamma * ce * factor for p, ce, factor in map(_parts, range(3))]
    ours = influence_balanced_loss(FEATURES, LOGITS, LABELS, alpha=1000.0, gamma=gamma)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-10)


def test_the_released_focal_form_takes_p_from_the_weighted_cross_entropy() -> None:
    expected = [(1 - np.exp(-W[Y[i]] * ce)) * ce * factor for i, (_, ce, factor) in enumerate(map(_parts, range(3)))]
    ours = influence_balanced_loss(FEATURES, LOGITS, LABELS, alpha=1000.0, gamma=1.0, class_weights=WEIGHTS)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-10)


def test_detached_the_gradient_is_the_factor_times_that_of_the_plain_loss() -> None:
    factor = torch.tensor([_parts(i)[2] for i in range(3)], dtype=torch.float64)
    for gamma in (0.0, 1.0):
        z, plain = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
        h = FEATURES.clone().requires_grad_()
        influence_balanced_loss(h, z, LABELS, alpha=1000.0, gamma=gamma).sum().backward()
        (factor * focal_loss(plain, LABELS, gamma=gamma)).sum().backward()
        assert h.grad is None
        torch.testing.assert_close(z.grad, plain.grad)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_not_detached_the_gradient_is_the_derivative(gamma: float) -> None:
    h, z = FEATURES.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    h.data += 0.1  # away from the corner of |h| at 0
    assert torch.autograd.gradcheck(
        lambda h, z: influence_balanced_loss(h, z, LABELS, alpha=10.0, gamma=gamma, detach=False), (h, z)
    )


def test_every_examples_gradient_on_the_head_has_the_same_size() -> None:
    head = torch.nn.Linear(2, 3).double()
    sizes = []
    for i in range(3):
        head.zero_grad()
        loss = influence_balanced_loss(FEATURES[i : i + 1], head(FEATURES[i : i + 1]), LABELS[i : i + 1], alpha=1.0)
        loss.sum().backward()
        assert head.weight.grad is not None
        sizes.append(float(head.weight.grad.abs().sum()))
    assert sizes == pytest.approx([1.0, 1.0, 1.0], rel=1e-2)  # apart from the 1e-3 in the divisor


def test_an_example_without_features_or_without_error_gets_a_finite_loss() -> None:
    z = torch.tensor([[0.0, 0.0], [800.0, 0.0], [0.0, 800.0]])
    ours = influence_balanced_loss(torch.zeros(3, 2), z, torch.zeros(3, dtype=torch.int64), alpha=1000.0)
    assert ours[0].item() == pytest.approx(1e6 * np.log(2), rel=1e-4) and ours[1].item() == 0.0
    assert torch.isfinite(ours).all()


def test_bad_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"`alpha` must be > 0, got 0\.0"):
        influence_balanced_loss(FEATURES, LOGITS, LABELS, alpha=0.0)
    with pytest.raises(ValueError, match=r"`gamma` must be >= 0, got -1\.0"):
        influence_balanced_loss(FEATURES, LOGITS, LABELS, alpha=1.0, gamma=-1.0)
