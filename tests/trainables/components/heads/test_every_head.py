"""What holds of every head: types, gradients at the edges, symmetries, state."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch

from trainables.components.heads import (
    CosineHead,
    Head,
    LinearHead,
    OffsetHead,
    PrototypeHead,
    ScaledCosineHead,
    ScaledHead,
)

FEATURES, CLASSES = 6, 4

HEADS: dict[str, Callable[[], Head]] = {
    "linear": lambda: LinearHead(FEATURES, CLASSES),
    "linear-without-bias": lambda: LinearHead(FEATURES, CLASSES, bias=False),
    "cosine": lambda: CosineHead(FEATURES, CLASSES),
    "scaled-cosine": lambda: ScaledCosineHead(FEATURES, CLASSES, initial_scale=4.0),
    "scaled": lambda: ScaledHead(FEATURES, CLASSES),
    "prototypes": lambda: PrototypeHead(FEATURES, CLASSES, prototypes=3, sigma=2.0),
    "prototypes-absolute": lambda: PrototypeHead(FEATURES, CLASSES, prototypes=1, sigma_unit="absolute"),
    "prototypes-l1": lambda: PrototypeHead(FEATURES, CLASSES, distance="l1"),
    "prototypes-inverse": lambda: PrototypeHead(FEATURES, CLASSES, similarity="inverse"),
    "prototypes-l1-inverse": lambda: PrototypeHead(FEATURES, CLASSES, distance="l1", similarity="inverse"),
    "offset": lambda: OffsetHead(FEATURES, CLASSES),
    "offset-constrained-only": lambda: OffsetHead(FEATURES, CLASSES, in_logits=False),
}


@pytest.fixture(params=list(HEADS.values()), ids=list(HEADS))
def head(request: pytest.FixtureRequest) -> Head:
    torch.manual_seed(0)
    head: Head = request.param()
    head.calibrate(torch.randn(16, FEATURES), torch.arange(16) % CLASSES)
    return head


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_logits_have_at_least_float32(head: Head, given: torch.dtype, expected: torch.dtype) -> None:
    logits = head(torch.randn(5, FEATURES).to(given))
    assert logits.shape == (5, CLASSES)
    assert logits.dtype == expected


def test_autocast_changes_nothing(head: Head) -> None:
    features = torch.randn(5, FEATURES)
    plain, penalty = head(features), head.penalty()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(features), plain)
        under = head.penalty()
        assert under is None if penalty is None else torch.equal(under, penalty)


def test_gradients_are_right_in_float64(head: Head) -> None:
    head.double()
    features = torch.randn(5, FEATURES, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in head.named_parameters()]

    def logits(features: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(head, dict(zip(names, values, strict=True)), (features,))

    assert torch.autograd.gradcheck(logits, (features, *(head.get_parameter(name) for name in names)))


@pytest.mark.parametrize("factor", [0.0, 1e-20, 1e-8, 1e6, 1e15])
def test_extreme_features_give_finite_logits_and_gradients(head: Head, factor: float) -> None:
    features = (factor * torch.randn(5, FEATURES)).requires_grad_()
    logits = head(features)
    assert logits.isfinite().all()
    logits.backward(torch.randn_like(logits))
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


def test_every_parameter_moves(head: Head) -> None:
    logits = head(torch.randn(64, FEATURES))
    logits.backward(torch.randn_like(logits))
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())


def test_images_of_a_batch_do_not_meet(head: Head) -> None:
    features, order = torch.randn(7, FEATURES), torch.randperm(7)
    torch.testing.assert_close(head(features[order]), head(features)[order])


def test_relabelling_the_classes_relabels_the_logits(head: Head) -> None:
    features, order = torch.randn(7, FEATURES), torch.randperm(CLASSES)
    relabelled = copy.deepcopy(head)
    with torch.no_grad():
        for parameter in relabelled.parameters():
            if parameter.ndim:  # a scalar belongs to no class
                parameter.copy_(parameter[order])
    torch.testing.assert_close(relabelled(features), head(features)[:, order])


def test_state_survives_a_file_with_all_that_forward_needs(head: Head, request: pytest.FixtureRequest) -> None:
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    restored: Head = HEADS[request.node.callspec.id]()
    restored.load_state_dict(torch.load(file, weights_only=True))
    features = torch.randn(5, FEATURES)
    assert torch.equal(restored(features), head(features))
    restored.calibrate(100 * features, torch.zeros(5, dtype=torch.int64))
    assert torch.equal(restored(features), head(features))


def test_equal_seeds_give_equal_heads(head: Head, request: pytest.FixtureRequest) -> None:
    torch.manual_seed(0)
    again = HEADS[request.node.callspec.id]()
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), again.parameters(), strict=True))
    assert (head.feature_dim, head.num_classes) == (FEATURES, CLASSES)
    assert "feature_dim=6, num_classes=4" in repr(head)
