"""What holds of every loss, whatever its formula."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from trainables.components.losses.affinity_hinge import affinity_margin_loss
from trainables.components.losses.balanced_softmax import balanced_softmax_loss
from trainables.components.losses.clouded_logits import cloud_sizes, gaussian_clouded_loss
from trainables.components.losses.complement_entropy import complement_cross_entropy, complement_entropy
from trainables.components.losses.cost_scaled_softmax import cost_scaled_loss, frequency_costs
from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.losses.equalization_loss import equalization_loss, equalization_weights
from trainables.components.losses.focal_loss import focal_loss
from trainables.components.losses.influence_balanced import influence_balanced_loss
from trainables.components.losses.label_aware_margin import class_margins, enlarged_margin_loss, ldam_loss
from trainables.components.losses.label_aware_smoothing import Spread, class_smoothing, label_aware_smoothing_loss
from trainables.components.losses.large_margin_softmax import large_margin_cross_entropy
from trainables.components.losses.maximum_margin import maximum_margin_loss
from trainables.components.losses.vector_scaling import logit_adjusted_loss, vector_scaling_loss

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # logits, labels, class counts


def _ldam(z: Tensor, y: Tensor, n: Tensor) -> Tensor:
    return ldam_loss(z, y, margins=class_margins(n, 0.5).to(z.device), scale=30.0)


def _elm(z: Tensor, y: Tensor, n: Tensor) -> Tensor:
    return enlarged_margin_loss(z, y, margins=class_margins(n, 0.5).to(z.device), scale=10.0, lam=1.0)


def _elm_without_own_margin(z: Tensor, y: Tensor, n: Tensor) -> Tensor:
    margins = class_margins(n, 0.5).to(z.device)
    return enlarged_margin_loss(z, y, margins=margins, scale=10.0, lam=0.5, own_margin=False)


def _maximum_margin(z: Tensor, y: Tensor, n: Tensor) -> Tensor:
    limits = 1.29 - class_margins(n, 0.5).to(z.device)
    return maximum_margin_loss(z, y, limits=limits, gamma=1.528, scale=26.0)


def _clouded(z: Tensor, y: Tensor, n: Tensor) -> Tensor:
    clouds = 0.5 * cloud_sizes(n).to(z.device).unsqueeze(0)
    return gaussian_clouded_loss(z, y, clouds=clouds, margin=0.5, scale=30.0)


def _clouded_everywhere(z: Tensor, y: Tensor, n: Tensor) -> Tensor:
    clouds = 0.5 * cloud_sizes(n).to(z.device).unsqueeze(0)
    return gaussian_clouded_loss(z, y, clouds=clouds, margin=0.0, scale=30.0, all_classes=True)


def _las(z: Tensor, y: Tensor, n: Tensor, spread: Spread) -> Tensor:
    eps = class_smoothing(n, head=0.4, tail=0.1, shape="concave").to(z.device)
    return label_aware_smoothing_loss(z, y, smoothing=eps, spread=spread)


def _equalization(z: Tensor, y: Tensor, n: Tensor) -> Tensor:
    ratio = (n / n.max()).to(z.device)
    return equalization_loss(z, y, weights=equalization_weights(ratio, alpha=4.0, gamma=12.0, mu=0.8))


def _influence(z: Tensor, y: Tensor, n: Tensor) -> Tensor:
    return influence_balanced_loss(z.new_ones(len(z), 4), z, y, alpha=10.0, gamma=1.0, detach=False)


SHIFT_INVARIANT: dict[str, Loss] = {
    "cross entropy": lambda z, y, n: cross_entropy(z, y),
    "complement entropy": lambda z, y, n: complement_entropy(z, y),
    "cce": lambda z, y, n: complement_cross_entropy(z, y, gamma=-1.0, variant="paper"),
    "cce official": lambda z, y, n: complement_cross_entropy(z, y, gamma=-50.0, variant="official"),
    "focal 0": lambda z, y, n: focal_loss(z, y, gamma=0.0),
    "focal .5": lambda z, y, n: focal_loss(z, y, gamma=0.5),
    "focal 2": lambda z, y, n: focal_loss(z, y, gamma=2.0),
    "ldam": _ldam,
    "elm": _elm,
    "elm without own margin": _elm_without_own_margin,
    "maximum margin": _maximum_margin,
    "clouded": _clouded,
    "clouded everywhere": _clouded_everywhere,
    "cost-scaled": lambda z, y, n: cost_scaled_loss(z, y, costs=frequency_costs(n).to(z.device)),
    "balanced softmax": lambda z, y, n: balanced_softmax_loss(z, y, class_counts=n.to(z.device)),
    "large margin": lambda z, y, n: large_margin_cross_entropy(z, y, lam=0.3),
    "logit adjustment": lambda z, y, n: logit_adjusted_loss(z, y, class_counts=n.to(z.device), tau=1.5),
    "label-aware smoothing": lambda z, y, n: _las(z, y, n, "wrong"),
    "label-aware smoothing, all": lambda z, y, n: _las(z, y, n, "all"),
    "influence": _influence,
}
LOSSES: dict[str, Loss] = {
    **SHIFT_INVARIANT,
    "vector scaling": lambda z, y, n: vector_scaling_loss(z, y, class_counts=n.to(z.device), gamma=0.2, tau=1.2),
    "equalization": _equalization,
    "affinity": lambda z, y, n: affinity_margin_loss(-z.abs() / 16, y, margin=0.75),
    "affinity mean": lambda z, y, n: affinity_margin_loss(-z.abs(), y, margin=0.1, average_over_classes=True),
}
# the margin of the maximum margin loss is a constant to the gradient
DERIVED = {name: loss for name, loss in LOSSES.items() if name != "maximum margin"}

# eighths: sums with whole numbers are exact, so that a shift cannot move an argmax
_EIGHTHS = st.integers(-400, 400).map(lambda i: i / 8)
_SHAPES = st.tuples(st.integers(1, 5), st.integers(2, 6))
_LOGITS = _SHAPES.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=_EIGHTHS, unique=True))


def _context(z: np.ndarray, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(z.shape[1], size=z.shape[0])
    counts = rng.integers(1, 5000, size=z.shape[1])
    return torch.from_numpy(z), torch.from_numpy(labels), torch.from_numpy(counts)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@settings(max_examples=20, deadline=None)
@given(z=_LOGITS, seed=st.integers(0, 1000))
def test_batch_permutation_permutes_the_losses(loss: Loss, z: np.ndarray, seed: int) -> None:
    logits, labels, counts = _context(z, seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(z)))
    torch.testing.assert_close(loss(logits[order], labels[order], counts), loss(logits, labels, counts)[order])


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@settings(max_examples=20, deadline=None)
@given(z=_LOGITS, seed=st.integers(0, 1000))
def test_renaming_classes_with_their_counts_changes_nothing(loss: Loss, z: np.ndarray, seed: int) -> None:
    logits, labels, counts = _context(z, seed)
    new_order = torch.from_numpy(np.random.default_rng(seed).permutation(z.shape[1]))
    renamed = loss(logits[:, new_order], new_order.argsort()[labels], counts[new_order])
    torch.testing.assert_close(renamed, loss(logits, labels, counts))


@pytest.mark.parametrize("loss", SHIFT_INVARIANT.values(), ids=SHIFT_INVARIANT)
@settings(max_examples=20, deadline=None)
@given(z=_LOGITS, seed=st.integers(0, 1000), shift=st.integers(-500, 500))
def test_a_constant_added_to_all_logits_changes_nothing(loss: Loss, z: np.ndarray, seed: int, shift: int) -> None:
    logits, labels, counts = _context(z, seed)
    shifted = loss(logits + shift, labels, counts)
    torch.testing.assert_close(shifted, loss(logits, labels, counts), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("loss", DERIVED.values(), ids=DERIVED)
@pytest.mark.parametrize("classes", [2, 5])
def test_gradient_is_the_derivative(loss: Loss, classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    z = torch.randn(6, classes, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(classes, (6,), generator=generator)
    counts = torch.randint(1, 500, (classes,), generator=generator)
    assert torch.autograd.gradcheck(lambda logits: loss(logits, labels, counts), (z,))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_loss_and_gradient_are_finite_at_800(loss: Loss, dtype: torch.dtype) -> None:
    corners = torch.cartesian_prod(*[torch.tensor([-800.0, 0.0, 800.0])] * 3)  # all corners of three logits
    z = corners.repeat(3, 1).to(dtype).requires_grad_()
    labels = torch.arange(3).repeat_interleave(len(corners))
    losses = loss(z, labels, torch.tensor([5000, 100, 1]))
    losses.sum().backward()
    assert z.grad is not None
    assert torch.isfinite(losses).all() and torch.isfinite(z.grad).all()


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_half_precision_is_promoted_and_double_kept(loss: Loss) -> None:
    z = torch.tensor([[1.0, -2.0, 0.5], [0.25, 0.0, -1.0]])  # exact in every dtype
    labels, counts = torch.tensor([0, 2]), torch.tensor([50, 20, 3])
    single = loss(z, labels, counts)
    assert single.shape == (2,) and single.dtype == torch.float32
    assert loss(z.double(), labels, counts).dtype == torch.float64
    for dtype in (torch.float16, torch.bfloat16):
        half = loss(z.to(dtype), labels, counts)
        assert half.dtype == torch.float32
        assert torch.equal(half, single)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_no_loss_waits_for_the_device(loss: Loss) -> None:
    # a meta tensor holds no values: whatever would read one back to the host raises
    z = torch.empty(4, 3, device="meta", requires_grad=True)
    losses = loss(z, torch.empty(4, dtype=torch.int64, device="meta"), torch.tensor([50, 20, 3]))
    losses.sum().backward()
    assert losses.shape == (4,)
