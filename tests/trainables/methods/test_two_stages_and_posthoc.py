"""Methods that train the classifier after the backbone, or change it after the training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.components.heads import LinearHead, MemoryHead, ScaledHead
from trainables.components.network import Outputs
from trainables.components.row_projections import MaxNormRadius
from trainables.core.config import MethodConfig, ModelConfig, TrialConfig
from trainables.data import load
from trainables.methods.plan import MethodContext
from trainables.methods.registry import build_params, build_plan, method_named, shared_prefix_of
from trainables.training.evaluation import class_means
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]
COUNTS = torch.tensor([90, 40, 9, 1])
POSTHOC = ("tau-norm", "rs-rescaling", "wvn-rs", "posthoc-logit-adjustment")


def _trainer(config: TrialConfig, model: str = "mlp", **values: Any) -> Trainer:
    method = config.method.model_copy(update={"params": values})
    config = config.model_copy(update={"method": method, "model": ModelConfig(name=model)})
    return Trainer(config, load(config.data), torch.device("cpu"))


def _copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


# ---- frozen parts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crt", "lws", "weight-balancing"])
def test_the_backbone_stays_bitwise_equal_in_the_last_stage(name: str, make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial(name, epochs=3), "resnet10", defer_until=0.3)  # with batch statistics
    trainer.run_epoch()
    backbone = _copied(trainer.network.backbone.state_dict())
    head = _copied(trainer.plan.head.state_dict())
    assert any("running_mean" in key for key in backbone)
    trainer.run_epoch()
    trainer.run_epoch()
    assert _equal(backbone, trainer.network.backbone.state_dict())
    assert not _equal(head, trainer.plan.head.state_dict())


def test_lws_learns_scales_alone_and_only_in_its_last_stage(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("lws", epochs=4), defer_until=0.5)
    head = trainer.plan.head
    assert isinstance(head, ScaledHead)
    for _ in range(2):
        trainer.run_epoch()
        assert torch.equal(head.scale, torch.ones(10))
    before = _copied(head.state_dict())
    trainer.run_epoch()
    assert torch.equal(head.weight, before["weight"])
    assert head.bias is not None and torch.equal(head.bias, before["bias"])
    assert not torch.equal(head.scale, torch.ones(10))


def test_crt_begins_its_last_stage_with_a_new_head(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("crt", epochs=2, lr=1e-30), defer_until=0.5)  # no step moves a weight
    first = trainer.plan.head.state_dict()["weight"].clone()
    trainer.run_epoch()
    assert torch.equal(trainer.plan.head.state_dict()["weight"], first)
    trainer.run_epoch()
    redrawn = trainer.plan.head.state_dict()["weight"]
    assert (redrawn - first).abs().mean() > first.abs().mean()  # another draw, not a change of the first
    assert redrawn.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.05)
    assert trainer.plan.head.state_dict()["bias"].abs().max() < 1e-20


@pytest.mark.parametrize("name", ["crt", "lws", "oltr", "weight-balancing"])
def test_the_last_stage_has_a_schedule_of_its_own(name: str, make_trial: MakeTrial) -> None:
    schedule = {"kind": "cosine", "warmup": 0.0}
    trainer = _trainer(make_trial(name, epochs=4, schedule=schedule), defer_until=0.5)
    rates = [trainer.run_epoch()["learning_rate"] for _ in range(4)]
    assert rates[2] == 0.05
    assert rates[3] == pytest.approx(0.025)


@pytest.mark.parametrize("name", ["crt", "lws", "oltr"])
def test_from_the_state_of_its_opening_it_goes_on_as_from_its_own(name: str, make_trial: MakeTrial) -> None:
    whole = _trainer(make_trial(name, epochs=4), defer_until=0.5)
    found = shared_prefix_of(whole.config)
    assert found is not None
    assert (found[0].method.name, found[1]) == ("erm", 2)
    shared_prefix, adopting = (Trainer(c, whole.data, torch.device("cpu")) for c in (found[0], whole.config))
    for _ in range(2):
        shared_prefix.run_epoch()
    adopting.adopt(shared_prefix.state())
    for trainer in (whole, adopting):
        while not trainer.finished:
            trainer.run_epoch()
    assert _equal(whole.network.backbone.state_dict(), adopting.network.backbone.state_dict())
    assert _equal(whole.plan.head.state_dict(), adopting.plan.head.state_dict())


# ---- values picked on validation ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", POSTHOC)
def test_test_images_are_evaluated_with_the_value_picked_on_validation(name: str, make_trial: MakeTrial) -> None:
    config = make_trial(name, epochs=3, data={"protocol": "m2m"})
    trainer = _trainer(config)
    while not trainer.finished:
        record = trainer.run_epoch()
    posthoc = trainer.plan.posthoc
    assert posthoc is not None
    assert record["posthoc_value"] in posthoc.values
    # images whose labels ask for another value: they are not asked
    test = trainer.data.test()
    backwards = dataclasses.replace(test, labels=9 - test.labels)
    assert trainer.evaluate(test).posthoc_value == record["posthoc_value"]
    assert trainer.evaluate(backwards).posthoc_value == record["posthoc_value"]
    resumed = _trainer(config)
    resumed.load(trainer.state())
    assert resumed.evaluate(backwards).posthoc_value == record["posthoc_value"]


@pytest.mark.parametrize(
    ("name", "field"),
    [("tau-norm", "tau"), ("rs-rescaling", "gamma"), ("wvn-rs", "gamma"), ("posthoc-logit-adjustment", "tau")],
)
def test_a_number_fixes_the_value(name: str, field: str, make_trial: MakeTrial) -> None:
    record = _trainer(make_trial(name, epochs=1), **{field: 0.37}).run_epoch()
    assert record["posthoc_value"] == 0.37


@pytest.mark.parametrize(("name", "field"), [("tau-norm", "tau"), ("posthoc-logit-adjustment", "tau")])
def test_at_0_it_is_erm(name: str, field: str, make_trial: MakeTrial) -> None:
    record, erm = _trainer(make_trial(name), **{field: 0.0}).run_epoch(), _trainer(make_trial("erm")).run_epoch()
    timed = {"images_per_second", "posthoc_value"}
    assert {k: repr(v) for k, v in record.items() if k not in timed} == {
        k: repr(v) for k, v in erm.items() if k not in timed
    }


def test_what_is_picked_is_never_worse_on_validation_than_the_head_as_trained(make_trial: MakeTrial) -> None:
    erm = _trainer(make_trial("erm", epochs=3))
    tau = _trainer(make_trial("tau-norm", epochs=3))
    for _ in range(3):
        assert tau.run_epoch()["balanced_accuracy"] >= erm.run_epoch()["balanced_accuracy"]
    assert _equal(erm.plan.head.state_dict(), tau.plan.head.state_dict())


def test_rows_of_wvn_have_length_1_after_every_step(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("wvn-rs"))
    head = trainer.plan.head
    assert isinstance(head, LinearHead)
    trainer.run_epoch()
    torch.testing.assert_close(head.weight.norm(dim=1), torch.ones(10))
    assert head.bias is None
    assert [stage.sampler for stage in trainer.plan.stages] == ["instance"]


@pytest.mark.parametrize("name", ["rs-rescaling", "wvn-rs"])
def test_rescaling_divides_the_rows_by_a_power_of_the_counts(name: str) -> None:
    torch.manual_seed(0)
    counts, features = torch.tensor([90, 40, 9, 1]), torch.randn(5, 6)
    plan = build_plan(MethodConfig(name=name), MethodContext(counts, 6))
    head = plan.head
    assert isinstance(head, LinearHead) and plan.posthoc is not None
    found = plan.posthoc.logits(head, Outputs(features, head(features)), 0.5, None)
    torch.testing.assert_close(found, features @ (head.weight / (counts / 90).sqrt()[:, None]).T)


def test_rs_rescaling_trains_cross_entropy_without_a_bias(make_trial: MakeTrial) -> None:
    rescaled, plain = _trainer(make_trial("rs-rescaling")), _trainer(make_trial("empirical-offset"))
    assert rescaled.run_epoch()["train_loss"] == plain.run_epoch()["train_loss"]
    assert _equal(rescaled.plan.head.state_dict(), plain.plan.head.state_dict())


# ---- memory and radius -------------------------------------------------------------------------------------


def test_oltr_remembers_the_class_means_of_its_first_stage(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("oltr", epochs=4), defer_until=0.5)
    head = trainer.plan.head
    assert isinstance(head, MemoryHead)
    trainer.run_epoch()
    trainer.run_epoch()
    assert not head.attends
    means = class_means(trainer.network, trainer._pipeline(trainer.data.train), 10)
    trainer.run_epoch()
    assert head.attends
    assert torch.equal(head.memory, means)
    trainer.run_epoch()
    assert torch.equal(head.memory, means)


def test_weight_balancing_keeps_rows_within_the_radius(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("weight-balancing", epochs=4), defer_until=0.5, longest_row=0.25)
    head = trainer.plan.head
    assert isinstance(head, LinearHead)
    assert isinstance(trainer.memory, MaxNormRadius)
    trainer.run_epoch()
    trainer.run_epoch()
    assert trainer.memory.radius.isinf()
    lengths = head.weight.detach().norm(dim=1)
    trainer.run_epoch()
    torch.testing.assert_close(trainer.memory.radius, lengths.min() + 0.25 * (lengths.max() - lengths.min()))
    assert (head.weight.norm(dim=1) <= trainer.memory.radius * (1 + 1e-6)).all()


def test_weight_balancing_has_a_weight_decay_for_either_stage(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("weight-balancing", epochs=2, weight_decay=0.3), defer_until=0.5)
    decays = []
    for _ in range(2):
        trainer.run_epoch()
        decays.append(trainer.optimizer.param_groups[0]["weight_decay"])
    assert decays == [5e-3, 0.1]


def test_without_decay_its_first_stage_is_erm(make_trial: MakeTrial) -> None:
    balanced = _trainer(make_trial("weight-balancing", epochs=4), defer_until=0.5, first_weight_decay=2e-4)
    erm = _trainer(make_trial("erm", epochs=4))
    for _ in range(2):
        assert balanced.run_epoch()["train_loss"] == erm.run_epoch()["train_loss"]


# ---- presets and edges -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("crt", "paper", {"defer_until": 0.9}),
        ("lws", "paper", {"defer_until": 0.95}),
        ("tau-norm", "recommended", {"tau": None, "keep_bias": True}),
        ("tau-norm", "paper", {"tau": None, "keep_bias": False}),
        ("rs-rescaling", "paper", {"gamma": None}),
        ("wvn-rs", "paper", {"gamma": None}),
        ("posthoc-logit-adjustment", "paper", {"tau": None}),
        ("oltr", "paper", {"scale": 16.0, "reach": 10.0, "defer_until": 1 / 3}),
        (
            "weight-balancing",
            "paper",
            {
                "first_weight_decay": 5e-3,
                "head_weight_decay": 0.1,
                "longest_row": 0.1,
                "beta": 0.9999,
                "defer_until": 0.95,
            },
        ),
    ],
)
def test_presets(name: str, preset: str, expected: dict[str, Any]) -> None:
    values = build_params(MethodConfig(name=name, preset=preset))
    assert values.model_dump() == expected


@pytest.mark.parametrize("name", ["crt", "lws", *POSTHOC, "oltr", "weight-balancing"])
def test_two_classes_one_of_a_single_image(name: str) -> None:
    torch.manual_seed(0)
    plan = build_plan(MethodConfig(name=name), MethodContext(torch.tensor([99, 1]), 6))
    features = torch.randn(3, 6)
    logits = plan.head(features).detach()
    assert logits.shape == (3, 2)
    weights = plan.stages[-1].class_weights
    assert weights is None or weights.isfinite().all()


def test_what_is_left_out_is_said() -> None:
    assert "centroids fixed at the switch" in method_named("oltr").given_in_part
