from __future__ import annotations

import numpy as np
import torch

from trainables.components.losses.cross_entropy import cross_entropy, promoted, target_mask

Z = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [-4.0, 1.5, 1.5]])
Y = np.array([0, 2, 1])


def test_equals_minus_log_of_the_softmax() -> None:
    p = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    expected = [-np.log(p[i, y]) for i, y in enumerate(Y)]
    ours = cross_entropy(torch.from_numpy(Z), torch.from_numpy(Y))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_gradient_is_softmax_minus_onehot() -> None:
    z = torch.from_numpy(Z).requires_grad_()
    cross_entropy(z, torch.from_numpy(Y)).sum().backward()
    torch.testing.assert_close(z.grad, z.detach().softmax(1) - target_mask(torch.from_numpy(Y), 3).double())


def test_a_gap_of_800_costs_800() -> None:
    z = torch.tensor([[0.0, 800.0], [800.0, 0.0]])
    assert cross_entropy(z, torch.tensor([0, 0])).tolist() == [800.0, 0.0]


def test_promotion_leaves_float32_untouched() -> None:
    z = torch.zeros(2, 2)
    assert promoted(z) is z
