from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.components.row_projections import longest_allowed, within_ball


def _rows() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(5, 3, dtype=torch.float64, generator=generator)
    return rows * torch.tensor([[0.1], [1.0], [2.0], [5.0], [0.0]], dtype=torch.float64)


@pytest.mark.parametrize("radius", [0.0, 0.3, 1.0, 100.0, float("inf")])
def test_maxnorm_is_its_equation(radius: float) -> None:
    rows = _rows()
    expected = []
    for row in rows.numpy():
        length = np.sqrt(sum(x * x for x in row))
        expected.append(row * (min(1.0, radius / length) if length > 0 else 1.0))
    ours = within_ball(rows, torch.tensor(radius, dtype=torch.float64))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


def test_rows_that_are_allowed_stay_as_they_are() -> None:
    rows = _rows()
    lengths = rows.norm(dim=1)
    projected = within_ball(rows, torch.tensor(1.0))
    assert torch.equal(projected[lengths <= 1], rows[lengths <= 1])
    torch.testing.assert_close(projected[lengths > 1].norm(dim=1), torch.ones_like(lengths[lengths > 1]))


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_radius_lies_between_the_shortest_and_the_longest_row(share: float) -> None:
    lengths = [float(np.linalg.norm(row)) for row in _rows().numpy()]
    expected = min(lengths) + share * (max(lengths) - min(lengths))
    assert float(longest_allowed(_rows(), share)) == pytest.approx(expected, abs=1e-12)
