"""Center, range and lifted loss as trainings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.losses.lifted_structured import lifted_structured_loss
from trainables.components.losses.range_loss import range_loss
from trainables.components.network import Outputs
from trainables.core.config import MethodConfig
from trainables.data import load
from trainables.methods.plan import MethodContext
from trainables.methods.registry import build_params, build_plan
from trainables.training.trainer import Trainer

PROBLEM = MethodContext(torch.tensor([90, 40, 9, 1]), 6)
LABELS = torch.tensor([0, 1, 2, 3, 3])


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("center", "recommended", {"center_weight": 0.003, "center_rate": 0.5}),
        ("center", "paper", {"center_weight": 0.0015, "center_rate": 0.5}),
        ("range", "recommended", {"intra_weight": 1e-3, "inter_weight": 1e-3, "margin": 100.0, "largest": 2}),
        ("range", "paper", {"intra_weight": 5e-5, "inter_weight": 1e-4, "margin": 2e4, "largest": 2}),
        ("lifted", "recommended", {"lifted_weight": 0.1, "margin": 1.0, "unit_features": True}),
        ("lifted", "paper", {"lifted_weight": 1.0, "margin": 1.0, "unit_features": False}),
    ],
)
def test_presets(name: str, preset: str, expected: dict[str, float]) -> None:
    assert build_params(MethodConfig(name=name, preset=preset)).model_dump() == expected


def _loss(name: str, **values: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return losses, their cross entropies, and the features that gave both."""
    torch.manual_seed(0)
    plan = build_plan(MethodConfig(name=name, params=values), PROBLEM)
    features = torch.randn(5, 6)
    outputs = Outputs(features, plan.head(features))
    return plan.stages[0].loss(outputs, LABELS), cross_entropy(outputs.logits, LABELS), features


def test_a_weight_of_zero_leaves_cross_entropy() -> None:
    for name, values in (
        ("center", {"center_weight": 0.0}),
        ("range", {"intra_weight": 0.0, "inter_weight": 0.0}),
        ("lifted", {"lifted_weight": 0.0}),
    ):
        losses, plain, _ = _loss(name, **values)
        assert torch.equal(losses, plain)


def test_the_mean_over_the_batch_is_the_published_sum() -> None:
    losses, plain, f = _loss("range", intra_weight=0.5, inter_weight=0.25, margin=7.0)
    published = range_loss(f, LABELS, margin=7.0, intra_weight=0.5, inter_weight=0.25)[0]
    torch.testing.assert_close(losses.mean(), plain.mean() + published)
    losses, plain, f = _loss("lifted", lifted_weight=0.5, margin=2.0, unit_features=False)
    published = 0.5 * lifted_structured_loss(f, LABELS, margin=2.0)[0]
    torch.testing.assert_close(losses.mean(), plain.mean() + published)


def test_centres_begin_at_zero_so_that_the_first_loss_draws_features_to_the_origin() -> None:
    losses, plain, f = _loss("center", center_weight=0.5)
    torch.testing.assert_close(losses, plain + 0.5 * f.square().sum(dim=1))


def test_the_centres_are_memory_that_training_moves_and_evaluation_does_not(make_trial: Any) -> None:
    config = make_trial("center")
    trainer = Trainer(config, load(config.data), torch.device("cpu"))
    trainer.run_epoch()
    centers = trainer.state()["memory"]["centers"].clone()
    assert centers.any(dim=1).all()
    trainer.evaluate(trainer.data.validation)
    assert torch.equal(trainer.memory.state_dict()["centers"], centers)


def test_a_larger_weight_makes_narrower_classes(make_trial: Any) -> None:
    spreads = []
    for weight in (0.0, 0.03):
        config = make_trial("center", epochs=6)
        method = MethodConfig(name="center", params={"center_weight": weight})
        trainer = Trainer(config.model_copy(update={"method": method}), load(config.data), torch.device("cpu"))
        while not trainer.finished:
            trainer.run_epoch()
        means, spread, count = trainer.class_means(), 0.0, 0
        for batch, labels in trainer._pipeline(trainer.data.train).in_order(512):
            spread += float((trainer.network.features(batch).detach() - means[labels]).square().sum())
            count += len(labels)
        spreads.append(spread / count)
    assert spreads[1] < 0.5 * spreads[0]
