from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.losses.large_margin_softmax import large_margin_cross_entropy

Z = np.array([[2.0, -1.0, 0.5, 0.0], [0.0, 3.0, -2.0, 1.0], [-4.0, 1.5, 1.5, 7.0]])
Y = np.array([0, 2, 1])


def _kobayashi(z: np.ndarray, y: int, lam: float) -> float:
    others = [c for c in range(len(z)) if c != y]
    q = {c: np.exp(z[c]) / sum(np.exp(z[j]) for j in others) for c in others}
    pull = sum((q[c] - 1 / len(others)) * np.log(q[c]) for c in others)
    return float(-np.log(np.exp(z[y]) / np.exp(z).sum()) + lam / 2 * pull)


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_is_the_papers_equation(lam: float) -> None:
    ours = large_margin_cross_entropy(torch.from_numpy(Z), torch.from_numpy(Y), lam=lam)
    expected = [_kobayashi(z, y, lam) for z, y in zip(Z, Y, strict=True)]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_lam_0_is_cross_entropy() -> None:
    z, y = torch.from_numpy(Z), torch.from_numpy(Y)
    assert torch.equal(large_margin_cross_entropy(z, y, lam=0.0), cross_entropy(z, y))


@pytest.mark.parametrize("gap", [0.3, 17.0, 800.0])
def test_two_classes_add_nothing(gap: float) -> None:
    z, y = torch.tensor([[gap, -gap], [gap, 0.0]]), torch.tensor([0, 1])
    assert torch.equal(large_margin_cross_entropy(z, y, lam=1.0), cross_entropy(z, y))


def test_never_below_cross_entropy_and_equal_to_it_at_equal_wrong_logits() -> None:
    z, y = torch.from_numpy(Z), torch.from_numpy(Y)
    assert (large_margin_cross_entropy(z, y, lam=1.0) > cross_entropy(z, y)).all()
    flat, first = torch.tensor([[5.0, -1.0, -1.0, -1.0]], dtype=torch.float64), torch.tensor([0])
    torch.testing.assert_close(large_margin_cross_entropy(flat, first, lam=1.0), cross_entropy(flat, first))


def test_the_added_part_leaves_the_target_alone() -> None:
    z, y = torch.from_numpy(Z).requires_grad_(), torch.from_numpy(Y)
    (large_margin_cross_entropy(z, y, lam=1.0) - cross_entropy(z, y)).sum().backward()
    assert z.grad is not None
    torch.testing.assert_close(z.grad[torch.arange(3), y], torch.zeros(3, dtype=torch.float64))


def test_negative_lam_is_named() -> None:
    with pytest.raises(ValueError, match=r"`lam` must be >= 0, got -1\.0"):
        large_margin_cross_entropy(torch.zeros(1, 2), torch.tensor([0]), lam=-1.0)
