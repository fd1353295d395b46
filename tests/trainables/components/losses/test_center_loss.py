from __future__ import annotations

import numpy as np
import torch

from trainables.components.losses.center_loss import center_loss

F = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -2.0], [4.0, 1.5, 1.5]])
C = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
Y = np.array([1, 0, 1])


def test_is_the_squared_distance_to_the_own_centre() -> None:
    expected = [sum((F[i, d] - C[y, d]) ** 2 for d in range(3)) for i, y in enumerate(Y)]
    ours = center_loss(torch.from_numpy(F), torch.from_numpy(Y), centers=torch.from_numpy(C))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_its_gradient_is_twice_the_difference_and_none_reaches_the_centres() -> None:
    f, c = torch.from_numpy(F.copy()).requires_grad_(), torch.from_numpy(C.copy()).requires_grad_()
    center_loss(f, torch.from_numpy(Y), centers=c).sum().backward()
    assert f.grad is not None and c.grad is None
    np.testing.assert_allclose(f.grad, 2 * (F - C[Y]), atol=1e-12)


def test_is_zero_at_the_centre() -> None:
    assert not center_loss(torch.from_numpy(C), torch.arange(2), centers=torch.from_numpy(C)).any()


def test_half_precision_is_promoted_and_double_kept() -> None:
    for given, expected in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        loss = center_loss(torch.ones(2, 3, dtype=given), torch.arange(2), centers=torch.zeros(2, 3))
        assert loss.dtype == expected
        assert loss.tolist() == [3.0, 3.0]
