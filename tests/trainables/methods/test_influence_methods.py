"""Equalization v2 with its accumulators, IB and IB-focal as plans and trainings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.components.gradient_accumulators import GradientAccumulators
from trainables.components.losses.cross_entropy import plain_loss
from trainables.components.losses.influence_balanced import influence_balanced_loss
from trainables.components.network import Outputs
from trainables.core.config import MethodConfig
from trainables.data import load
from trainables.methods.plan import MethodContext, Plan
from trainables.methods.registry import build_params, build_plan
from trainables.training.trainer import Trainer

COUNTS = torch.tensor([90, 40, 9, 1])
LABELS = torch.tensor([0, 1, 2, 3, 3])
IB = {"alpha": 1000.0, "detach": True, "defer_until": 0.5}


def _plan(name: str, preset: str = "recommended", **values: Any) -> Plan:
    torch.manual_seed(0)
    return build_plan(MethodConfig(name=name, preset=preset, params=values), MethodContext(COUNTS, 6))


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("equalization-v2", "paper", {"alpha": 4.0, "gamma": 12.0, "mu": 0.8}),
        ("ib", "paper", IB),
        ("ib", "official", {**IB, "detach": False}),
        ("ib-focal", "paper", {**IB, "gamma": 1.0, "weighted_probability": False}),
        ("ib-focal", "official", {**IB, "gamma": 1.0, "detach": False, "weighted_probability": True}),
    ],
)
def test_presets(name: str, preset: str, expected: dict[str, Any]) -> None:
    assert build_params(MethodConfig(name=name, preset=preset)).model_dump() == expected


def test_equalization_accumulates_weighted_gradients_of_every_step() -> None:
    plan = _plan("equalization-v2")
    kept, stage = plan.memory, plan.stages[0]
    assert isinstance(kept, GradientAccumulators) and stage.after_step is not None
    assert kept.ratio.tolist() == [100.0] * 4
    labels, positive, negative = torch.tensor([0, 0, 1]), torch.zeros(4).double(), torch.zeros(4).double()
    for step in range(3):
        z = torch.randn(3, 4, generator=torch.Generator().manual_seed(step)).double()
        for j in range(4):
            r = 1.0 if step == 0 else float(1 / (1 + torch.exp(-12 * (positive[j] / (negative[j] + 1e-10) - 0.8))))
            q = 1 + 4 * (1 - r)
            push = [0.0, 0.0]
            for i in range(3):
                s = float(torch.sigmoid(z[i, j]))
                push[int(labels[i] != j)] += q * (1 - s) if labels[i] == j else r * s
            positive[j] += push[0]
            negative[j] += push[1]
        stage.after_step(Outputs(torch.zeros(3, 6), z), labels)
    torch.testing.assert_close(kept.positive, positive, rtol=0, atol=1e-10)
    torch.testing.assert_close(kept.negative, negative, rtol=0, atol=1e-10)
    torch.testing.assert_close(kept.ratio, positive / negative, rtol=0, atol=1e-9)


def test_equalization_keeps_its_accumulators_in_the_checkpoint_and_out_of_evaluation(make_trial: Any) -> None:
    config = make_trial("equalization-v2", epochs=3)
    data = load(config.data)
    trainer = Trainer(config, data, torch.device("cpu"))
    trainer.run_epoch()
    kept = {name: buffer.clone() for name, buffer in trainer.state()["memory"].items()}
    assert set(kept) == {"positive", "negative", "ratio"}
    assert (kept["negative"] > 0).all() and (kept["ratio"] != 100).all()
    trainer.evaluate(data.test())
    resumed = Trainer(config, data, torch.device("cpu"))
    resumed.load(trainer.state())
    for held in (trainer.memory.state_dict(), resumed.memory.state_dict()):
        assert all(torch.equal(held[name], buffer) for name, buffer in kept.items())


def test_equalization_predicts_the_largest_logit() -> None:
    plan, features = _plan("equalization-v2"), torch.randn(7, 6)
    erm = _plan("erm").head
    assert torch.equal(plan.head(features), erm(features))


@pytest.mark.parametrize("name", ["ib", "ib-focal"])
def test_balancing_begins_at_100_of_200_epochs_with_weights_over_the_examples(name: str) -> None:
    plain, balanced = _plan(name).stages
    assert [stage.first_epoch(200) for stage in (plain, balanced)] == [0, 100]
    assert plain.loss is plain_loss and plain.class_weights is None
    assert balanced.weighted_over == "examples"
    assert balanced.class_weights is not None
    inverse = (1 / COUNTS).double()
    torch.testing.assert_close(balanced.class_weights.double(), 4 * inverse / inverse.sum(), rtol=1e-6, atol=0)


def _balanced(name: str, preset: str = "recommended", **values: Any) -> tuple[torch.Tensor, Outputs]:
    plan = _plan(name, preset, **values)
    features = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    outputs = Outputs(features, plan.head(features))
    return plan.stages[1].loss(outputs, LABELS), outputs


def test_ib_focal_without_focus_is_ib() -> None:
    assert torch.equal(_balanced("ib-focal", gamma=0.0)[0], _balanced("ib")[0])


def test_official_changes_the_gradient_of_ib_and_the_probability_of_ib_focal() -> None:
    assert torch.equal(_balanced("ib", "official")[0], _balanced("ib")[0])
    official, outputs = _balanced("ib-focal", "official")
    weights = (1 / COUNTS).double()
    weights *= 4 / weights.sum()
    expected = influence_balanced_loss(*outputs, LABELS, alpha=1000.0, gamma=1.0, class_weights=weights)
    torch.testing.assert_close(official, expected)
    assert not torch.allclose(official, _balanced("ib-focal")[0])
