from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.components.class_weights import effective_number, inverse_frequency, weighted_mean

COUNTS = torch.tensor([5000, 2997, 1796, 387, 50, 1])


def test_inverse_frequency_is_one_over_n_scaled_to_k() -> None:
    raw = 1 / COUNTS.numpy()
    np.testing.assert_allclose(inverse_frequency(COUNTS), 6 * raw / raw.sum(), rtol=1e-14)


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.99, 0.9999])
def test_effective_number_is_the_papers_equation(beta: float) -> None:
    raw = np.array([(1 - beta) / (1 - beta ** int(n)) for n in COUNTS])
    np.testing.assert_allclose(effective_number(COUNTS, beta), 6 * raw / raw.sum(), rtol=1e-10)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9999, 1 - 1e-9, 1.0])
def test_weights_sum_to_the_number_of_classes(beta: float) -> None:
    weights = effective_number(COUNTS, beta)
    assert weights.dtype == torch.float64
    assert weights.sum().item() == pytest.approx(6, rel=1e-14)
    assert torch.equal(weights, weights.sort().values)  # rarer classes weigh more, or as much


def test_beta_0_weighs_all_alike() -> None:
    assert torch.equal(effective_number(COUNTS, 0.0), torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize("gap", [1e-9, 1e-12, 1e-15, 0.0])
def test_beta_towards_1_is_inverse_frequency(gap: float) -> None:
    ours = effective_number(COUNTS, 1 - gap)
    torch.testing.assert_close(ours, inverse_frequency(COUNTS), rtol=max(1e-12, 5000 * gap), atol=0)


def test_equal_counts_weigh_alike() -> None:
    ones = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(effective_number(torch.tensor([9, 9, 9]), 0.9999), ones)
    torch.testing.assert_close(inverse_frequency(torch.tensor([9, 9, 9])), ones)


def test_float_counts_of_one_image_do_not_divide_0_by_0() -> None:
    # in float32, 1 - .99999999^1 is 0
    assert torch.isfinite(effective_number(torch.tensor([1, 10**9]), 1 - 1e-8)).all()


def test_weighted_mean_over_weights_and_over_examples() -> None:
    losses = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    weights = torch.tensor([0.5, 0.5, 2.0])
    assert weighted_mean(losses, weights, "weights").item() == pytest.approx(9.5 / 3)
    assert weighted_mean(losses, weights, "examples").item() == pytest.approx(9.5 / 3)
    assert weighted_mean(losses, 2 * weights, "weights").item() == pytest.approx(9.5 / 3)
    assert weighted_mean(losses, 2 * weights, "examples").item() == pytest.approx(19 / 3)


def test_weights_of_one_are_the_plain_mean() -> None:
    losses = torch.tensor([1.0, 2.0, 4.0])
    for over in ("weights", "examples"):
        assert torch.equal(weighted_mean(losses, torch.ones(3), over), losses.mean())


def test_weights_follow_the_losses_dtype_and_carry_no_loss_gradient_away() -> None:
    losses = torch.tensor([1.0, 2.0], requires_grad=True)
    mean = weighted_mean(losses, torch.tensor([3.0, 1.0], dtype=torch.float64), "weights")
    mean.backward()
    assert mean.dtype == torch.float32 and losses.grad is not None
    assert losses.grad.tolist() == [0.75, 0.25]


def test_beta_0_gives_the_plain_mean_of_the_loss() -> None:
    labels = torch.tensor([0, 5, 5, 2])
    losses = torch.tensor([0.5, 1.5, 2.5, 3.5], dtype=torch.float64)
    weights = effective_number(COUNTS, 0.0)[labels]
    torch.testing.assert_close(weighted_mean(losses, weights, "weights"), losses.mean())


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"`beta` must be in \[0, 1\], got 1\.5"):
        effective_number(COUNTS, 1.5)
    with pytest.raises(ValueError, match=r"at least 1 in every class, got \[4, 0\]"):
        inverse_frequency(torch.tensor([4, 0]))
    with pytest.raises(ValueError, match="`over` must be 'weights' or 'examples', got 'weight'"):
        weighted_mean(torch.ones(1), torch.ones(1), "weight")
