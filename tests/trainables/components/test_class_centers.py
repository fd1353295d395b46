"""Centres against a loop over the center-loss paper's algorithm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.components.class_centers import ClassCenters, follow_features


def _papers_update(c: np.ndarray, f: np.ndarray, y: np.ndarray, alpha: float) -> np.ndarray:
    """Wen et al. 2016, eq 4: Delta c_j = sum_i [y_i = j] (c_j - x_i) / (1 + sum_i [y_i = j])."""
    moved = c.copy()
    for j in range(len(c)):
        numerator, denominator = np.zeros(c.shape[1]), 1.0
        for i in range(len(f)):
            if y[i] == j:
                numerator += c[j] - f[i]
                denominator += 1
        moved[j] = c[j] - alpha * numerator / denominator
    return moved


@given(seed=st.integers(0, 2**31), rate=st.sampled_from([0.1, 0.5, 1.0]), classes=st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_is_the_papers_rule(seed: int, rate: float, classes: int) -> None:
    rng = np.random.default_rng(seed)
    c, f, y = rng.normal(size=(classes, 3)), 5 * rng.normal(size=(9, 3)), rng.integers(classes, size=9)
    centers = torch.from_numpy(c.copy())
    follow_features(centers, torch.from_numpy(f), torch.from_numpy(y), rate=rate)
    np.testing.assert_allclose(centers, _papers_update(c, f, y, rate), rtol=0, atol=1e-10)


def test_a_class_that_is_not_in_the_batch_stays_bit_for_bit() -> None:
    centers = torch.randn(3, 4)
    before = centers.clone()
    follow_features(centers, torch.randn(5, 4), torch.tensor([0, 0, 2, 2, 2]), rate=0.5)
    assert torch.equal(centers[1], before[1])
    assert not torch.equal(centers, before)


def test_a_single_image_is_met_by_a_quarter_of_the_way() -> None:
    centers = torch.zeros(2, 1)
    follow_features(centers, torch.tensor([[8.0]]), torch.tensor([1]), rate=0.5)
    assert torch.equal(centers, torch.tensor([[0.0], [2.0]]))


def test_repeating_a_batch_ends_at_its_class_means() -> None:
    features, labels = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, 0, 0, 1, 1, 2])
    centers = torch.zeros(3, 3, dtype=torch.float64)
    for _ in range(200):
        follow_features(centers, features, labels, rate=0.5)
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(3)])
    torch.testing.assert_close(centers, means)


def test_features_with_a_graph_leave_none_behind() -> None:
    centers = torch.zeros(2, 2)
    follow_features(centers, torch.randn(3, 2, requires_grad=True), torch.tensor([0, 1, 1]), rate=0.5)
    assert not centers.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_centres_keep_their_type(dtype: torch.dtype) -> None:
    centers = torch.zeros(2, 2)
    follow_features(centers, torch.ones(3, 2, dtype=dtype), torch.tensor([0, 1, 1]), rate=0.5)
    assert centers.dtype == torch.float32


def test_the_memory_is_a_buffer_of_zeros_in_its_state() -> None:
    memory = ClassCenters(3, 2)
    assert not list(memory.parameters())
    assert set(memory.state_dict()) == {"centers"}
    assert not memory.centers.any()


def test_nothing_waits_for_the_device() -> None:
    centers = torch.zeros(3, 2, device="meta")
    follow_features(
        centers, torch.empty(4, 2, device="meta"), torch.empty(4, dtype=torch.int64, device="meta"), rate=0.5
    )
