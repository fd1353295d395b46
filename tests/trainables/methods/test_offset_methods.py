"""The estimated offset as a training: warm-up, state, ablations."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from search_spaces import SPACES
from trainables.components.heads import LinearHead, OffsetHead
from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.lr_schedule import stage_start
from trainables.components.network import Outputs
from trainables.core.config import MethodConfig
from trainables.data import load
from trainables.methods.plan import MethodContext
from trainables.methods.registry import build_params, build_plan, last_stage_start, prefix_of
from trainables.training.trainer import Trainer

PROBLEM = MethodContext(torch.tensor([90, 40, 9, 1]), 6)


def _trainer(make_trial: Any, epochs: int = 4, **values: Any) -> Trainer:
    config = make_trial("offset", epochs=epochs)
    config = config.model_copy(update={"method": MethodConfig(name="offset", params=values)})
    return Trainer(config, load(config.data), torch.device("cpu"))


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("images_per_second", "stage")}


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("recommended", (0.0015, 0.1, True)),
        ("paper", (1.0, 1.0, True)),
        ("no-constraint", (0.0015, 0.0, True)),
        ("constraint-only", (0.0015, 0.1, False)),
        ("defaults-0.1", (0.0015, 1.0, True)),
    ],
)
def test_presets(preset: str, expected: tuple[float, float, bool]) -> None:
    values: Any = build_params(MethodConfig(name="offset", preset=preset))
    assert (values.center_weight, values.constraint_weight, values.offset_in_logits) == expected
    assert (values.center_rate, values.warmup) == (0.5, 0.0)


def test_spaces() -> None:
    found = {name: (d.low, d.high, d.scale) for name, d in SPACES["offset"].items()}
    assert found == {"center_weight": (1e-4, 1, "log"), "constraint_weight": (1e-3, 10, "log")}


def test_the_loss_of_an_example_is_cross_entropy_and_its_distance_from_the_centre() -> None:
    plan = build_plan(MethodConfig(name="offset", preset="paper"), PROBLEM)
    head: Any = plan.head
    head.centers.copy_(torch.randn(4, 6))
    features, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 3])
    outputs = Outputs(features, head(features))
    expected = cross_entropy(outputs.logits, labels) + (features - head.centers[labels]).square().sum(dim=1)
    torch.testing.assert_close(plan.stages[0].loss(outputs, labels), expected)


def test_centres_follow_training_and_not_evaluation(make_trial: Any) -> None:
    trainer = _trainer(make_trial)
    head: Any = trainer.plan.head
    assert not head.centers.any()
    trainer.run_epoch()
    after = head.centers.clone()
    assert after.any(dim=1).all()
    trainer.evaluate(trainer.data.validation)
    assert torch.equal(head.centers, after)


def test_no_gradient_moves_the_centres(make_trial: Any) -> None:
    trainer = _trainer(make_trial)
    assert "head.centers" not in dict(trainer.network.named_parameters())
    assert "centers" in trainer.state()["head"]


def test_the_warm_up_is_the_opening_bit_for_bit_and_ends_at_class_means(make_trial: Any) -> None:
    own = _trainer(make_trial, epochs=5, warmup=0.5)
    shared_prefix = prefix_of(own.config.method)
    assert shared_prefix is not None
    other = _trainer(make_trial, epochs=5, **shared_prefix.params)
    switch = stage_start(last_stage_start(own.config.method), 5)
    assert switch == 3
    for _ in range(switch):
        assert _timeless(own.run_epoch()) == _timeless(other.run_epoch())
    mine, theirs = own.network.backbone.state_dict(), other.network.backbone.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    head: Any = own.plan.head
    assert not head.centers.any() and not head.constrains
    means = own.class_means()
    own._enter(own.plan.stages[1])
    assert torch.equal(head.centers, means) and head.constrains


def test_the_opening_is_a_linear_head_without_bias_on_cross_entropy() -> None:
    shared_prefix = prefix_of(MethodConfig(name="offset"))
    assert shared_prefix is not None
    torch.manual_seed(0)
    plan = build_plan(shared_prefix, PROBLEM)
    torch.manual_seed(0)
    linear = LinearHead(6, 4, bias=False)
    assert isinstance(plan.head, OffsetHead)
    plan.head.centers.copy_(torch.randn(4, 6))
    features, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 3])
    outputs = Outputs(features, plan.head(features))
    assert torch.equal(outputs.logits, linear(features))
    assert torch.equal(plan.stages[0].loss(outputs, labels), cross_entropy(outputs.logits, labels))
    assert plan.head.penalty() is None


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_warm_up_resumes_bit_for_bit(killed_after: int, make_trial: Any) -> None:
    whole, part, resumed = (_trainer(make_trial, warmup=0.5) for _ in range(3))
    records = [_timeless(whole.run_epoch()) for _ in range(4)]
    for _ in range(killed_after):
        part.run_epoch()
    resumed.load(part.state())
    assert [_timeless(resumed.run_epoch()) for _ in range(killed_after, 4)] == records[killed_after:]
    a, b = whole.plan.head.state_dict(), resumed.plan.head.state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
