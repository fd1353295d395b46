from __future__ import annotations

import numpy as np
import torch

from trainables.components.losses.equalization_loss import (
    SidedWeights,
    equalization_loss,
    equalization_weights,
    sided_gradients,
)

Z = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [-4.0, 1.5, 1.5], [0.3, 0.2, 0.1]])
Y = np.array([0, 2, 1, 0])
RATIO = np.array([0.2, 0.8, 1.5])
LOGITS, LABELS = torch.from_numpy(Z), torch.from_numpy(Y)


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def _weights() -> SidedWeights:
    return equalization_weights(torch.from_numpy(RATIO), alpha=4.0, gamma=12.0, mu=0.8)


def test_weights_are_the_papers_equations() -> None:
    ours = _weights()
    f = [1 / (1 + np.exp(-12 * (g - 0.8))) for g in RATIO]
    np.testing.assert_allclose(ours.negative, f, rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours.positive, [1 + 4 * (1 - r) for r in f], rtol=0, atol=1e-10)


def test_loss_is_the_papers_equation() -> None:
    q, r = (w.numpy() for w in _weights())
    expected = []
    for z, y in zip(Z, Y, strict=True):
        terms = []
        for j in range(3):
            terms.append(-q[j] * np.log(_sigmoid(z[j])) if j == y else -r[j] * np.log(1 - _sigmoid(z[j])))
        expected.append(sum(terms))
    ours = equalization_loss(LOGITS, LABELS, weights=_weights())
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_gradients_are_those_of_the_loss_by_class_and_side() -> None:
    z = LOGITS.clone().requires_grad_()
    equalization_loss(z, LABELS, weights=_weights()).sum().backward()
    assert z.grad is not None
    magnitude, own = z.grad.abs(), torch.nn.functional.one_hot(LABELS, 3).bool()
    ours = sided_gradients(LOGITS, LABELS, weights=_weights())
    torch.testing.assert_close(ours.positive, (magnitude * own).sum(dim=0))
    torch.testing.assert_close(ours.negative, (magnitude * ~own).sum(dim=0))


def test_at_the_start_it_is_plain_binary_cross_entropy() -> None:
    weights = equalization_weights(torch.full((3,), 100.0, dtype=torch.float64), alpha=4.0, gamma=12.0, mu=0.8)
    one_hot = torch.nn.functional.one_hot(LABELS, 3).double()
    plain = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, one_hot, reduction="none").sum(dim=1)
    torch.testing.assert_close(equalization_loss(LOGITS, LABELS, weights=weights), plain)


def test_less_positive_gradient_is_answered_by_more_pull_and_less_push() -> None:
    q, r = equalization_weights(torch.tensor([0.0, 0.5, 0.8, 1.0, 5.0]), alpha=4.0, gamma=12.0, mu=0.8)
    assert (q.diff() < 0).all() and (r.diff() > 0).all()
    assert ((q >= 1) & (q <= 5)).all() and ((r >= 0) & (r <= 1)).all()


def test_huge_logits_stay_finite() -> None:
    z = torch.tensor([[800.0, -800.0], [-800.0, 800.0]], requires_grad=True)
    weights = SidedWeights(torch.ones(2), torch.ones(2))
    loss = equalization_loss(z, torch.tensor([0, 0]), weights=weights)
    loss.sum().backward()
    assert loss.tolist() == [0.0, 1600.0]
    assert z.grad is not None and torch.isfinite(z.grad).all()
    assert all(torch.isfinite(side).all() for side in sided_gradients(z, torch.tensor([0, 0]), weights=weights))
