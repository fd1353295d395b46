"""Linear probe, BitFit, LoRA, AdaptFormer and LIFT."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from trainables.components.heads import CosineHead, ScaledCosineHead
from trainables.components.network import Outputs
from trainables.core.config import MethodConfig, ModelConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.methods.plan import MethodContext
from trainables.methods.registry import build_params, build_plan
from trainables.training.trainer import Trainer
from trainables.training.tuned_backbone import check_tuning, parameter_counts

METHODS = ["linear-probe", "bitfit", "lora", "adaptformer", "lift"]


def _on(config: TrialConfig, name: str, **model: Any) -> TrialConfig:
    return config.model_copy(update={"model": ModelConfig(name=name, **model)})


def _trainer(config: TrialConfig) -> Trainer:
    return Trainer(config, load(config.data), torch.device("cpu"))


@pytest.mark.parametrize("name", METHODS)
def test_what_is_frozen_keeps_its_value_and_has_neither_gradient_nor_momentum(name: str, make_trial: Any) -> None:
    trainer = _trainer(make_trial(name, weight_decay=0.1))
    trained = {key for key, _ in trainer.network.trainable_parameters()}
    before = {key: value.clone() for key, value in trainer.network.named_parameters()}
    while not trainer.finished:
        trainer.run_epoch()
    momenta = {id(parameter) for parameter in trainer.optimizer.state}
    for key, parameter in trainer.network.named_parameters():
        assert torch.equal(parameter, before[key]) == (key not in trained)
        assert (parameter.grad is None) == (id(parameter) not in momenta) == (key not in trained)


@pytest.mark.parametrize(("name", "params"), [("linear-probe", {}), ("bitfit", {}), ("lora", {"projections": "all"})])
def test_batch_statistics_are_frozen_and_a_resume_repeats_every_bit(
    name: str, params: dict[str, Any], make_trial: Any
) -> None:
    config = _on(make_trial(name, epochs=2), "resnet20")
    config = config.model_copy(update={"method": MethodConfig(name=name, params=params)})
    whole = _trainer(config)
    buffers = {key: value.clone() for key, value in whole.network.backbone.named_buffers()}
    whole.run_epoch()
    resumed = _trainer(config)
    resumed.load(whole.state())
    first, again = whole.run_epoch(), resumed.run_epoch()
    assert {**first, "images_per_second": 0} == {**again, "images_per_second": 0}
    for key, value in whole.network.backbone.named_buffers():
        assert torch.equal(value, buffers[key])
    for one, other in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["adaptformer", "lift"])
def test_adapters_are_refused_on_a_network_of_convolutions(name: str, make_trial: Any) -> None:
    for build in (_trainer, lambda config: check_tuning(config, torch.ones(10), (1, 8, 8))):
        with pytest.raises(BadInput, match=rf"^{name}: adapters need transformer blocks, and conv-tiny has none$"):
            build(_on(make_trial(name), "conv-tiny"))


def test_lora_on_convolutions_says_how(make_trial: Any) -> None:
    with pytest.raises(BadInput, match=r"^lora: .* conv-tiny has none; `projections: all` adapts"):
        _trainer(_on(make_trial("lora"), "conv-tiny"))


def test_lifts_loss_is_logit_adjustment_of_cosines(make_trial: Any) -> None:
    counts, labels = torch.tensor([90, 40, 9, 1]), torch.tensor([0, 1, 2, 3, 3])
    torch.manual_seed(0)
    plan = build_plan(MethodConfig(name="lift"), MethodContext(counts, 6))
    features = torch.randn(5, 6)
    assert type(plan.head) is CosineHead
    cosines = F.normalize(features, dim=-1) @ F.normalize(plan.head.weight, dim=-1).T
    expected = F.cross_entropy(25 * cosines + (counts / counts.sum()).log(), labels, reduction="none")
    torch.testing.assert_close(plan.stages[0].loss(Outputs(features, plan.head(features)), labels), expected)


@pytest.mark.parametrize(
    ("name", "params"),
    [("lift", {}), ("lora", {"head": "class-means"}), ("adaptformer", {"head": "class-means"})],
)
def test_the_head_starts_from_the_class_means_of_frozen_features(
    name: str, params: dict[str, Any], make_trial: Any
) -> None:
    config = make_trial(name, epochs=1, lr=1e-12)
    trainer = _trainer(config.model_copy(update={"method": MethodConfig(name=name, params=params)}))
    features, labels = trainer.features(trainer.data.train), trainer.data.train.labels
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(10)])
    trainer.run_epoch()
    assert isinstance(trainer.plan.head, CosineHead)
    torch.testing.assert_close(trainer.plan.head.weight.data, F.normalize(means, dim=-1), rtol=1e-4, atol=1e-5)
    if isinstance(trainer.plan.head, ScaledCosineHead):
        assert trainer.plan.head.scale.item() == pytest.approx(25)


def test_the_defaults_are_those_of_the_released_code() -> None:
    """LIFT's configs/model/in21k_vit_b16.yaml and utils/config.py; AdaptFormer's main_image.py."""
    lift: Any = build_params(MethodConfig(name="lift"))
    adapter: Any = build_params(MethodConfig(name="adaptformer"))
    assert (lift.width, lift.adapter_scale, lift.scale, lift.tau) == (None, 1.0, 25.0, 1.0)
    assert (adapter.width, adapter.adapter_scale) == (64, 0.1)
    official: Any = build_params(MethodConfig(name="adaptformer", preset="official"))
    assert (official.normalised, official.dropout) == (False, 0.1)


def test_shares_of_trained_parameters(make_trial: Any) -> None:
    counts = {name: parameter_counts(_trainer(make_trial(name)).network) for name in METHODS}
    head = 64 * 10 + 10
    layers = 2 * 2 * 2 * 64 * 8  # blocks, query and value, down and up, width, rank
    assert counts["lora"][0] == layers + head
    assert counts["linear-probe"][0] == 256 * 10 + 10
    assert all(0 < trained < total for trained, total in counts.values())
