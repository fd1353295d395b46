from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.losses.label_aware_margin import class_margins, enlarged_margin_loss, ldam_loss

COUNTS = np.array([5000, 300, 50, 7])
Z = np.array([[0.9, -0.2, 0.4, 0.1], [0.3, 0.8, -0.9, 0.7], [-0.5, 0.2, 0.6, 0.65], [0.1, -0.1, 0.05, -1.0]])
Y = np.array([0, 3, 2, 3])
S = 30.0


def _papers_margins(largest: float) -> np.ndarray:
    raw = np.array([1 / n ** (1 / 4) for n in COUNTS])
    return largest * raw / raw.max()


def _equation_6(z: np.ndarray, y: int, margins: np.ndarray, lam: float) -> float:
    wrong = [c for c in range(len(z)) if c != y]
    c_star = max(wrong, key=lambda c: z[c])
    rho = np.log(sum(np.exp(S * (z[c] - z[c_star])) for c in wrong))
    inside = S * (z[c_star] - z[y]) + S * margins[y] - S * lam * margins[c_star] + rho
    return float(np.log1p(np.exp(inside)))


def _equation_7(z: np.ndarray, y: int, margins: np.ndarray, lam: float) -> float:
    wrong = [c for c in range(len(z)) if c != y]
    c_star = max(wrong, key=lambda c: z[c])
    own = np.exp(S * (z[y] - margins[y] + lam * margins[c_star]))
    return float(-np.log(own / (own + sum(np.exp(S * z[j]) for j in wrong))))  # s restored


def _margins() -> Tensor:
    return class_margins(torch.from_numpy(COUNTS), 0.5)


def _random() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.rand(64, 4, generator=generator, dtype=torch.float64) - 1
    return z, torch.randint(4, (64,), generator=generator)


def test_margins_are_the_papers() -> None:
    ours = _margins()
    assert ours.dtype == torch.float64
    np.testing.assert_allclose(ours, _papers_margins(0.5), rtol=0, atol=1e-14)
    assert ours.max().item() == 0.5


def test_equal_counts_have_equal_margins() -> None:
    assert class_margins(torch.tensor([12, 12, 12]), 0.3).tolist() == pytest.approx([0.3] * 3, abs=1e-16)


@pytest.mark.parametrize("lam", [0.0, 0.1, 0.5, 1.0, 1.2])
@pytest.mark.parametrize("equation", [_equation_6, _equation_7])
def test_elm_is_equation_6_and_equation_7_with_s_restored(equation, lam: float) -> None:  # type: ignore[no-untyped-def]
    expected = [equation(z, y, _papers_margins(0.5), lam) for z, y in zip(Z, Y, strict=True)]
    ours = enlarged_margin_loss(torch.from_numpy(Z), torch.from_numpy(Y), margins=_margins(), scale=S, lam=lam)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_ldam_is_its_equation_with_s_everywhere() -> None:
    margins, expected = _papers_margins(0.5), []
    for z, y in zip(Z, Y, strict=True):
        terms = np.exp(S * (z - margins[y] * (np.arange(4) == y)))
        expected.append(-np.log(terms[y] / terms.sum()))
    ours = ldam_loss(torch.from_numpy(Z), torch.from_numpy(Y), margins=_margins(), scale=S)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_lam_0_is_ldam() -> None:
    z, y = _random()
    elm = enlarged_margin_loss(z, y, margins=_margins(), scale=S, lam=0.0)
    assert torch.equal(elm, ldam_loss(z, y, margins=_margins(), scale=S))


def test_elm_approaches_ldam_as_lam_falls() -> None:
    z, y = _random()
    elm = enlarged_margin_loss(z, y, margins=_margins(), scale=S, lam=1e-12)
    torch.testing.assert_close(elm, ldam_loss(z, y, margins=_margins(), scale=S), rtol=0, atol=1e-10)


def test_lam_1_with_equal_counts_is_scaled_cross_entropy() -> None:
    z, y = _random()
    margins = class_margins(torch.full((4,), 37), 0.5)
    elm = enlarged_margin_loss(z, y, margins=margins, scale=S, lam=1.0)
    torch.testing.assert_close(elm, cross_entropy(S * z, y), rtol=0, atol=1e-12)


def test_no_margin_is_scaled_cross_entropy() -> None:
    z, y = _random()
    margins = class_margins(torch.from_numpy(COUNTS), 0.0)
    torch.testing.assert_close(ldam_loss(z, y, margins=margins, scale=S), cross_entropy(S * z, y))


def test_ldam_is_never_below_scaled_cross_entropy() -> None:
    z, y = _random()
    assert (ldam_loss(z, y, margins=_margins(), scale=S) >= cross_entropy(S * z, y)).all()


def test_wrong_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"`class_counts` must be at least 1 in every class, got \[3, 0\]"):
        class_margins(torch.tensor([3, 0]), 0.5)
    with pytest.raises(ValueError, match=r"`max_margin` must be >= 0, got -0\.5"):
        class_margins(torch.tensor([3, 1]), -0.5)


@pytest.mark.parametrize("lam", [0.1, 0.5, 1.0])
def test_elm_without_own_margin_is_equation_6_without_it(lam: float) -> None:
    expected = []
    for z, y in zip(Z, Y, strict=True):
        wrong = [c for c in range(len(z)) if c != y]
        c_star = max(wrong, key=lambda c: z[c])
        rho = np.log(sum(np.exp(S * (z[c] - z[c_star])) for c in wrong))
        expected.append(np.log1p(np.exp(S * (z[c_star] - z[y]) - S * lam * _papers_margins(0.5)[c_star] + rho)))
    ours = enlarged_margin_loss(
        torch.from_numpy(Z), torch.from_numpy(Y), margins=_margins(), scale=S, lam=lam, own_margin=False
    )
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


def test_without_any_margin_elm_is_scaled_cross_entropy() -> None:
    z, y = _random()
    elm = enlarged_margin_loss(z, y, margins=_margins(), scale=S, lam=0.0, own_margin=False)
    assert torch.equal(elm, cross_entropy(S * z, y))


def test_two_classes_have_each_other_as_rivals() -> None:
    margins = class_margins(torch.tensor([16, 1]), 0.5)
    z, y = torch.tensor([[0.3, 0.1], [0.3, 0.1]], dtype=torch.float64), torch.tensor([0, 1])
    elm = enlarged_margin_loss(z, y, margins=margins, scale=S, lam=1.0)
    shifts = [0.25 - 0.5, 0.5 - 0.25]  # D_y - D_c*
    expected = [np.log1p(np.exp(S * (0.1 - 0.3 + shifts[0]))), np.log1p(np.exp(S * (0.3 - 0.1 + shifts[1])))]
    np.testing.assert_allclose(elm, expected, rtol=0, atol=1e-12)
