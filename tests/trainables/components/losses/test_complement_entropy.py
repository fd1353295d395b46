from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.components.losses.complement_entropy import complement_cross_entropy, complement_entropy
from trainables.components.losses.cross_entropy import cross_entropy

Z = np.array([[2.0, -1.0, 0.5, 0.0], [0.0, 3.0, -2.0, 1.0], [-4.0, 1.5, 1.5, 1.5]])
Y = np.array([0, 3, 1])


def _paper_complement(z: np.ndarray, y: int) -> float:
    p = np.exp(z) / np.exp(z).sum()
    total = 0.0
    for j in range(len(z)):
        if j != y:
            total -= p[j] / (1 - p[y]) * np.log(p[j] / (1 - p[y]))
    return total


def _paper_cross_entropy(z: np.ndarray, y: int) -> float:
    return float(-np.log(np.exp(z[y]) / np.exp(z).sum()))


def _random(classes: int, examples: int = 64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(classes)
    z = 3 * torch.randn(examples, classes, generator=generator, dtype=torch.float64)
    return z, torch.randint(classes, (examples,), generator=generator)


def test_entropy_is_equation_2() -> None:
    expected = [_paper_complement(z, y) for z, y in zip(Z, Y, strict=True)]
    ours = complement_entropy(torch.from_numpy(Z), torch.from_numpy(Y))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("gamma", [-1.0, -50.0])
def test_paper_is_equation_5(gamma: float) -> None:
    pairs = list(zip(Z, Y, strict=True))
    expected = [_paper_cross_entropy(z, y) + gamma / 3 * _paper_complement(z, y) for z, y in pairs]
    ours = complement_cross_entropy(torch.from_numpy(Z), torch.from_numpy(Y), gamma=gamma, variant="paper")
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("balancing_factor", [1.0, 5.0])
def test_official_is_the_released_formula_without_its_constants(balancing_factor: float) -> None:
    # the released code sums q log q, which is -C, divides by K, and subtracts it from the cross entropy
    expected = []
    for z, y in zip(Z, Y, strict=True):
        q = np.delete(np.exp(z), y) / np.delete(np.exp(z), y).sum()
        expected.append(_paper_cross_entropy(z, y) - balancing_factor * np.sum(q * np.log(q)) / 4)
    z, y = torch.from_numpy(Z), torch.from_numpy(Y)
    ours = complement_cross_entropy(z, y, gamma=-balancing_factor, variant="official")
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_gamma_0_is_cross_entropy(variant: str) -> None:
    z, y = _random(7)
    ours = complement_cross_entropy(z, y, gamma=0.0, variant=variant)
    assert torch.equal(ours, cross_entropy(z, y))


def test_two_classes_have_no_complement() -> None:
    z, y = _random(2)
    assert torch.equal(complement_entropy(z, y), torch.zeros(64, dtype=torch.float64))


@pytest.mark.parametrize("classes", [3, 10, 100])
def test_entropy_is_between_0_and_log_of_k_minus_1(classes: int) -> None:
    c = complement_entropy(*_random(classes))
    assert (c >= 0).all() and (c <= math.log(classes - 1) + 1e-12).all()


@pytest.mark.parametrize("own", [-800.0, 0.0, 800.0])
def test_entropy_is_largest_at_equal_wrong_logits(own: float) -> None:
    z = torch.full((1, 5), 1.5, dtype=torch.float64)
    z[0, 2] = own
    c = complement_entropy(z, torch.tensor([2]))
    torch.testing.assert_close(c, torch.tensor([math.log(4)], dtype=torch.float64), rtol=0, atol=1e-12)


def test_paper_rewards_flat_wrong_logits_and_official_punishes_them() -> None:
    y = torch.tensor([0])
    # the wrong logits' sum of exponentials is the same, and so is the cross entropy
    peaked = torch.log(torch.tensor([[4.0, 2.8, 0.1, 0.1]], dtype=torch.float64))
    flat = torch.log(torch.tensor([[4.0, 1.0, 1.0, 1.0]], dtype=torch.float64))

    def loss(z: Tensor, variant: str) -> float:
        return complement_cross_entropy(z, y, gamma=-1.0, variant=variant).item()

    assert loss(flat, "paper") < loss(peaked, "paper")
    assert loss(flat, "official") > loss(peaked, "official")


def test_gradient_of_the_entropy_leaves_the_target_alone() -> None:
    z, y = _random(6)
    z.requires_grad_()
    complement_entropy(z, y).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad.gather(1, y[:, None]), torch.zeros(64, 1, dtype=torch.float64))
    assert z.grad.abs().sum() > 0


@pytest.mark.parametrize("gap", [17.0, 100.0, 800.0])
def test_finite_in_single_precision_where_one_minus_p_is_0(gap: float) -> None:
    z = torch.tensor([[gap, 0.0, 1.0, -gap]], requires_grad=True)
    loss = complement_cross_entropy(z, torch.tensor([0]), gamma=-1.0, variant="paper")
    loss.sum().backward()
    q = 1 / (1 + math.e)
    entropy = -(q * math.log(q) + (1 - q) * math.log(1 - q))
    assert loss.item() == pytest.approx(-entropy / 3, abs=1e-5)
    assert z.grad is not None and torch.isfinite(z.grad).all()


def test_wrong_values_are_named() -> None:
    z, y = _random(3)
    with pytest.raises(ValueError, match=r"`gamma` must be <= 0, got 1\.0"):
        complement_cross_entropy(z, y, gamma=1.0, variant="paper")
    with pytest.raises(ValueError, match="`variant` must be 'paper' or 'official', got 'oficial'"):
        complement_cross_entropy(z, y, gamma=-1.0, variant="oficial")
