"""The cosine head with a learned scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.components.heads import CosineHead, ScaledCosineHead


def test_it_is_a_scale_times_the_cosine() -> None:
    torch.manual_seed(0)
    head = ScaledCosineHead(5, 3, initial_scale=7.0).double()
    features = torch.randn(4, 5, dtype=torch.float64)
    f, w = features.numpy(), head.weight.detach().numpy()
    expected = 7 * f @ w.T / np.linalg.norm(f, axis=1)[:, None] / np.linalg.norm(w, axis=1)
    np.testing.assert_allclose(head(features).detach().numpy(), expected, rtol=1e-12)


def test_it_starts_with_the_rows_of_the_cosine_head() -> None:
    torch.manual_seed(0)
    plain = CosineHead(5, 3)
    torch.manual_seed(0)
    assert torch.equal(ScaledCosineHead(5, 3).weight, plain.weight)


def test_the_scale_is_learned_as_one_number() -> None:
    head, features = ScaledCosineHead(5, 3).double(), torch.randn(4, 5, dtype=torch.float64)
    logits = head(features)
    logits.sum().backward()
    assert head.scale.shape == ()
    assert head.scale.grad is not None
    torch.testing.assert_close(head.scale.grad, logits.detach().sum() / 10)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="`initial_scale` must be > 0 and finite, got"):
        ScaledCosineHead(5, 3, initial_scale=scale)
