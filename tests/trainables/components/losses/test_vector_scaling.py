from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.components.losses.balanced_softmax import balanced_softmax_loss
from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.losses.vector_scaling import logit_adjusted_loss, vector_scaling_loss

Z = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [-4.0, 1.5, 1.5]])
Y = np.array([0, 2, 1])
N = np.array([400, 1, 37])
LOGITS, LABELS, COUNTS = torch.from_numpy(Z), torch.from_numpy(Y), torch.from_numpy(N)


def _vs(z: np.ndarray, y: int, gamma: float, tau: float) -> float:
    """Kini et al.: -log(e^(Delta_y z_y + iota_y) / sum_k e^(Delta_k z_k + iota_k))."""
    delta = [(n / N.max()) ** gamma for n in N]
    iota = [tau * np.log(n / N.sum()) for n in N]
    terms = [np.exp(delta[k] * z[k] + iota[k]) for k in range(len(z))]
    return float(-np.log(terms[y] / sum(terms)))


@pytest.mark.parametrize(("gamma", "tau"), [(0.0, 0.0), (0.15, 1.25), (0.5, 0.0), (0.05, 2.0)])
def test_vector_scaling_is_the_papers_equation(gamma: float, tau: float) -> None:
    ours = vector_scaling_loss(LOGITS, LABELS, class_counts=COUNTS, gamma=gamma, tau=tau)
    expected = [_vs(z, y, gamma, tau) for z, y in zip(Z, Y, strict=True)]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_logit_adjustment_is_the_papers_equation(tau: float) -> None:
    """Menon et al., eq 10: log(1 + sum_{k != y} (pi_k / pi_y)^tau e^(z_k - z_y))."""
    expected = []
    for z, y in zip(Z, Y, strict=True):
        rivals = [(N[k] / N[y]) ** tau * np.exp(z[k] - z[y]) for k in range(3) if k != y]
        expected.append(np.log(1 + sum(rivals)))
    ours = logit_adjusted_loss(LOGITS, LABELS, class_counts=COUNTS, tau=tau)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_tau_1_is_balanced_softmax() -> None:
    adjusted = logit_adjusted_loss(LOGITS, LABELS, class_counts=COUNTS, tau=1.0)
    torch.testing.assert_close(adjusted, balanced_softmax_loss(LOGITS, LABELS, class_counts=COUNTS))


def test_tau_0_is_cross_entropy() -> None:
    assert torch.equal(logit_adjusted_loss(LOGITS, LABELS, class_counts=COUNTS, tau=0.0), cross_entropy(LOGITS, LABELS))


def test_gamma_0_is_logit_adjustment() -> None:
    scaled = vector_scaling_loss(LOGITS, LABELS, class_counts=COUNTS, gamma=0.0, tau=1.25)
    assert torch.equal(scaled, logit_adjusted_loss(LOGITS, LABELS, class_counts=COUNTS, tau=1.25))


def test_equal_counts_are_cross_entropy() -> None:
    ours = vector_scaling_loss(LOGITS, LABELS, class_counts=torch.tensor([7, 7, 7]), gamma=0.5, tau=2.0)
    torch.testing.assert_close(ours, cross_entropy(LOGITS, LABELS))
