from __future__ import annotations

import numpy as np
import pytest
import torch

from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.losses.label_aware_smoothing import Shape, class_smoothing, label_aware_smoothing_loss

Z = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0], [-4.0, 1.5, 1.5]])
Y = np.array([0, 2, 1])
N = np.array([500, 5, 100])
LOGITS, LABELS, COUNTS = torch.from_numpy(Z), torch.from_numpy(Y), torch.from_numpy(N)
SHAPES: tuple[Shape, ...] = ("concave", "linear", "convex")


def _epsilon(n: int, shape: str, head: float, tail: float) -> float:
    first, last = N.max(), N.min()
    if shape == "concave":
        return float(tail + (head - tail) * np.sin(np.pi * (n - last) / (2 * (first - last))))
    if shape == "linear":
        return float(tail + (head - tail) * (n - last) / (first - last))
    return float(head + (head - tail) * np.sin(3 * np.pi / 2 + np.pi * (n - last) / (2 * (first - last))))


@pytest.mark.parametrize("shape", SHAPES)
def test_smoothing_is_the_papers_equation(shape: Shape) -> None:
    ours = class_smoothing(COUNTS, head=0.4, tail=0.1, shape=shape)
    np.testing.assert_allclose(ours, [_epsilon(n, shape, 0.4, 0.1) for n in N], rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_smoothing_runs_from_tail_to_head_and_rises_with_the_count(shape: Shape) -> None:
    counts = torch.tensor([1, 2, 10, 100, 999, 1000])
    eps = class_smoothing(counts, head=0.4, tail=0.1, shape=shape)
    assert eps[0].item() == pytest.approx(0.1) and eps[-1].item() == pytest.approx(0.4)
    assert (eps.diff() > 0).all()


def test_concave_lies_above_linear_and_convex_below() -> None:
    counts = torch.arange(2, 100)
    bounds = torch.tensor([1, 100])
    concave, linear, convex = (
        class_smoothing(torch.cat([counts, bounds]), head=0.4, tail=0.1, shape=shape)[:-2] for shape in SHAPES
    )
    assert (concave > linear).all() and (linear > convex).all()


def test_equal_counts_all_get_the_tails_smoothing() -> None:
    eps = class_smoothing(torch.tensor([7, 7]), head=0.4, tail=0.1, shape="concave")
    assert eps.tolist() == [0.1, 0.1]


@pytest.mark.parametrize("spread", ["wrong", "all"])
def test_loss_is_the_cross_entropy_of_the_smoothed_label(spread: str) -> None:
    eps = class_smoothing(COUNTS, head=0.4, tail=0.1, shape="concave")
    expected = []
    for z, y in zip(Z, Y, strict=True):
        log_p = z - np.log(np.exp(z).sum())
        e = _epsilon(N[y], "concave", 0.4, 0.1)
        if spread == "wrong":  # the paper
            label = [1 - e if k == y else e / (len(z) - 1) for k in range(len(z))]
        else:  # the released code
            label = [(1 - e) * (k == y) + e / len(z) for k in range(len(z))]
        expected.append(-sum(q * lp for q, lp in zip(label, log_p, strict=True)))
    ours = label_aware_smoothing_loss(LOGITS, LABELS, smoothing=eps, spread=spread)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("spread", ["wrong", "all"])
def test_without_smoothing_it_is_cross_entropy(spread: str) -> None:
    ours = label_aware_smoothing_loss(LOGITS, LABELS, smoothing=torch.zeros(3), spread=spread)
    torch.testing.assert_close(ours, cross_entropy(LOGITS, LABELS))


def test_the_official_spread_is_torchs_label_smoothing() -> None:
    ours = label_aware_smoothing_loss(LOGITS, LABELS, smoothing=torch.full((3,), 0.25), spread="all")
    theirs = torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none", label_smoothing=0.25)
    torch.testing.assert_close(ours, theirs)


def test_bad_values_are_named() -> None:
    with pytest.raises(ValueError, match=r"`head` must be in \[0, 1\), got 1\.0"):
        class_smoothing(COUNTS, head=1.0, tail=0.1, shape="concave")
    with pytest.raises(ValueError, match=r"`tail` must be in \[0, 1\), got -0\.1"):
        class_smoothing(COUNTS, head=0.4, tail=-0.1, shape="concave")
    with pytest.raises(ValueError, match="`shape` must be 'concave', 'linear' or 'convex', got 'flat'"):
        class_smoothing(COUNTS, head=0.4, tail=0.1, shape="flat")
    with pytest.raises(ValueError, match="`spread` must be 'wrong' or 'all', got 'none'"):
        label_aware_smoothing_loss(LOGITS, LABELS, smoothing=torch.zeros(3), spread="none")
