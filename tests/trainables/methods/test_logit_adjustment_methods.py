"""LMSCE, logit adjustment, VS and LAS as plans."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.network import Outputs
from trainables.core.config import MethodConfig
from trainables.methods.plan import MethodContext
from trainables.methods.registry import build_params, build_plan

COUNTS = torch.tensor([90, 40, 9, 1])
LABELS = torch.tensor([0, 1, 2, 3, 3])


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("lmsce", "paper", {"lam": 0.3}),
        ("logit-adjustment", "paper", {"tau": 1.0}),
        ("vs", "paper", {"gamma": 0.2, "tau": 1.2}),
        ("las", "paper", {"head": 0.4, "tail": 0.1, "shape": "concave", "spread": "wrong"}),
        ("las", "official", {"head": 0.4, "tail": 0.1, "shape": "concave", "spread": "all"}),
        ("las", "linear", {"head": 0.4, "tail": 0.1, "shape": "linear", "spread": "wrong"}),
        ("las", "convex", {"head": 0.4, "tail": 0.1, "shape": "convex", "spread": "wrong"}),
    ],
)
def test_presets(name: str, preset: str, expected: dict[str, Any]) -> None:
    assert build_params(MethodConfig(name=name, preset=preset)).model_dump() == expected


def _losses(name: str, counts: torch.Tensor = COUNTS, **values: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a method's losses and their cross entropies."""
    torch.manual_seed(0)
    plan = build_plan(MethodConfig(name=name, params=values), MethodContext(counts, 6))
    labels, features = LABELS % len(counts), torch.randn(5, 6)
    logits = plan.head(features)
    return plan.stages[0].loss(Outputs(features, logits), labels), cross_entropy(logits, labels)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lmsce", {"lam": 0.0}),
        ("logit-adjustment", {"tau": 0.0}),
        ("vs", {"gamma": 0.0, "tau": 0.0}),
        ("las", {"head": 0.0, "tail": 0.0}),
    ],
)
def test_its_null_values_leave_cross_entropy(name: str, values: dict[str, float]) -> None:
    losses, plain = _losses(name, **values)
    torch.testing.assert_close(losses, plain)


@pytest.mark.parametrize("name", ["lmsce", "logit-adjustment", "vs", "las"])
@pytest.mark.parametrize("counts", [[5, 1], [1, 1], [10**7, 1, 1]])
def test_two_classes_equal_counts_and_single_images_are_finite(name: str, counts: list[int]) -> None:
    losses, _ = _losses(name, torch.tensor(counts))
    assert torch.isfinite(losses).all()


def test_the_priors_adjust_training_and_never_the_prediction() -> None:
    torch.manual_seed(0)
    head = build_plan(MethodConfig(name="erm"), MethodContext(COUNTS, 6)).head
    features = torch.randn(5, 6)
    for name in ("logit-adjustment", "vs"):
        torch.manual_seed(0)
        assert torch.equal(build_plan(MethodConfig(name=name), MethodContext(COUNTS, 6)).head(features), head(features))
