"""Gaussian clouded logits against their definition, written out in loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from trainables.components.losses.clouded_logits import cloud_noise, cloud_sizes, gaussian_clouded_loss
from trainables.components.losses.cross_entropy import cross_entropy

COUNTS = np.array([5000, 300, 50, 7])
Z = np.array([[0.9, -0.2, 0.4, 0.1], [0.3, 0.8, -0.9, 0.7], [-0.5, 0.2, 0.6, 0.65]])
Y = np.array([0, 3, 2])
NOISE = np.array([[0.1, 0.9, 0.3, 0.2], [0.6, 0.0, 1.0, 0.5], [0.25, 0.75, 0.4, 0.05]])
M, S = 0.5, 30.0


def _papers_sizes() -> list[float]:
    raw = [math.log(max(COUNTS)) - math.log(n) for n in COUNTS]
    return [size / max(raw) for size in raw]


def _loss(z: np.ndarray, y: int, noise: np.ndarray, everywhere: bool) -> float:
    terms = []
    for j in range(len(z)):
        cloud = noise[j] * _papers_sizes()[j] if everywhere or j == y else 0.0
        terms.append(math.exp(S * (z[j] - cloud - (M if j == y else 0.0))))
    return -math.log(terms[y] / sum(terms))


@pytest.mark.parametrize("everywhere", [False, True])
def test_it_is_its_definition(everywhere: bool) -> None:
    expected = [_loss(z, y, e, everywhere) for z, y, e in zip(Z, Y, NOISE, strict=True)]
    clouds = torch.from_numpy(NOISE) * cloud_sizes(torch.from_numpy(COUNTS))
    z, y = torch.from_numpy(Z), torch.from_numpy(Y)
    ours = gaussian_clouded_loss(z, y, clouds=clouds, margin=M, scale=S, all_classes=everywhere)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_sizes_are_0_for_the_largest_and_1_for_the_smallest_class() -> None:
    sizes = cloud_sizes(torch.from_numpy(COUNTS))
    assert sizes.dtype == torch.float64
    np.testing.assert_allclose(sizes, _papers_sizes(), rtol=0, atol=1e-15)
    assert sizes[0].item() == 0.0 and sizes[3].item() == 1.0


def test_equal_counts_have_no_clouds() -> None:
    assert cloud_sizes(torch.tensor([12, 12, 12])).tolist() == [0.0, 0.0, 0.0]


def test_a_class_of_one_image_among_two_has_the_whole_cloud() -> None:
    assert cloud_sizes(torch.tensor([1, 2])).tolist() == [1.0, 0.0]


def test_a_class_without_images_is_named() -> None:
    with pytest.raises(ValueError, match=r"`class_counts` must be at least 1 in every class, got \[3, 0\]"):
        cloud_sizes(torch.tensor([3, 0]))


def test_no_noise_and_no_margin_is_scaled_cross_entropy() -> None:
    z, y = torch.from_numpy(Z), torch.from_numpy(Y)
    for everywhere in (False, True):
        clear = gaussian_clouded_loss(z, y, clouds=torch.zeros(1, 4), margin=0.0, scale=S, all_classes=everywhere)
        assert torch.equal(clear, cross_entropy(S * z, y))


def test_noise_is_half_normal_of_a_third_and_never_above_1() -> None:
    torch.manual_seed(0)
    noise = cloud_noise(torch.empty(20000, 10, dtype=torch.float64))
    assert noise.shape == (20000, 10) and noise.dtype == torch.float64
    assert noise.min().item() >= 0 and noise.max().item() == 1.0
    assert noise.mean().item() == pytest.approx(math.sqrt(2 / math.pi) / 3, abs=1e-3)
    assert noise.square().mean().item() == pytest.approx(1 / 9, abs=1e-3)


def test_noise_repeats_with_the_global_seed() -> None:
    drawn = []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(cloud_noise(torch.empty(5, 4)))
    assert torch.equal(*drawn)
