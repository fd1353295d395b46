from __future__ import annotations

import numpy as np
import torch

from trainables.components.losses.balanced_softmax import balanced_softmax_loss
from trainables.components.losses.cross_entropy import cross_entropy

Z = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [-4.0, 1.5, 1.5]])
Y = np.array([0, 2, 1])
COUNTS = np.array([5000, 300, 7])


def test_is_the_papers_equation() -> None:
    expected = []
    for z, y in zip(Z, Y, strict=True):
        weighted = COUNTS * np.exp(z)
        expected.append(-np.log(weighted[y] / weighted.sum()))
    counts = torch.from_numpy(COUNTS)
    ours = balanced_softmax_loss(torch.from_numpy(Z), torch.from_numpy(Y), class_counts=counts)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_equal_counts_are_cross_entropy() -> None:
    z, y = torch.from_numpy(Z), torch.from_numpy(Y)
    ours = balanced_softmax_loss(z, y, class_counts=torch.full((3,), 123))
    torch.testing.assert_close(ours, cross_entropy(z, y), rtol=0, atol=1e-12)


def test_counts_and_prior_are_the_same() -> None:
    # logit adjustment with tau = 1 adds the log of the prior n / N, which differs by a constant
    z, y, counts = torch.from_numpy(Z), torch.from_numpy(Y), torch.from_numpy(COUNTS)
    adjusted = cross_entropy(z + torch.log(counts / counts.sum(dtype=torch.float64)), y)
    torch.testing.assert_close(balanced_softmax_loss(z, y, class_counts=counts), adjusted, rtol=0, atol=1e-10)


def test_equal_logits_predict_the_prior() -> None:
    loss = balanced_softmax_loss(
        torch.zeros(3, 3, dtype=torch.float64), torch.arange(3), class_counts=torch.from_numpy(COUNTS)
    )
    np.testing.assert_allclose(np.exp(-loss.numpy()), COUNTS / COUNTS.sum(), rtol=1e-12)
