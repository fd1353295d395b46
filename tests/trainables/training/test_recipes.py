"""Recipes beyond SGD: AdamW, layer-wise rates, clipped gradients and averaged weights, with every kind of method."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.core.config import ModelConfig, TrialConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.methods.registry import METHODS, shared_prefix_of
from trainables.training.exported_network import classifier_of
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]

RECIPE: dict[str, Any] = {
    "optimizer": "adamw",
    "lr": 0.005,
    "betas": (0.9, 0.99),
    "weight_decay": 0.05,
    "layer_decay": 0.6,
    "clip_norm": 0.5,
    "ema": 0.9,
}
OF_EVERY_KIND = (
    "erm", "affinity", "cot", "sam", "ib", "equalization-v2", "m2m", "ldam-drw", "ldam-drs", "crt", "lws", "oltr",
    "offset", "weight-balancing", "mixup-drw", "smote", "tau-norm",
)  # fmt: skip
"""Plain; a calibrated head; own updates; weights from gradients; translation; deferred and frozen stages."""


def _trainer(config: TrialConfig) -> Trainer:
    return Trainer(config, load(config.data), torch.device("cpu"))


def _records(trainer: Trainer) -> list[str]:
    found = []
    while not trainer.finished:
        found.append(repr({k: v for k, v in trainer.run_epoch().items() if k != "images_per_second"}))
    return found


def _tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [tensor for each in inner for tensor in _tensors(each)]


def _same(one: Trainer, other: Trainer) -> bool:
    pairs = zip(_tensors(one.state()), _tensors(other.state()), strict=True)
    return all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def _stored(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


@pytest.mark.parametrize(
    "method",
    [*OF_EVERY_KIND, *(pytest.param(name, marks=pytest.mark.slow) for name in METHODS if name not in OF_EVERY_KIND)],
)
def test_a_resumed_training_equals_an_undisturbed_one(make_trial: MakeTrial, method: str) -> None:
    _check_resume(make_trial(method, epochs=5, **RECIPE), stops=(1, 4))


@pytest.mark.parametrize("method", ["erm", "cot", "sam", "crt"])
def test_also_in_bfloat16_with_batch_norm(make_trial: MakeTrial, method: str) -> None:
    trial = make_trial(method, epochs=3, **{**RECIPE, "precision": "bfloat16"})
    _check_resume(trial.model_copy(update={"model": ModelConfig(name="resnet20")}), stops=(2,))


STRONG = {
    **{"augmentation": "crop-flip", "brightness": 0.3, "contrast": 0.3, "saturation": 0.3},
    **{"auto_augment": "rand", "rand_magnitude": 12, "cutout": 3},
}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("method", ["erm", "cot", "sam", "m2m", "mixup-drw", "smote", "crt"])
def test_also_with_strong_augmentation(make_trial: MakeTrial, method: str, precision: str) -> None:
    trial = make_trial(method, epochs=3, **{**RECIPE, **STRONG, "precision": precision})
    _check_resume(trial.model_copy(update={"model": ModelConfig(name="conv-tiny")}), stops=(2,))


def test_augmentation_draws_nothing_from_the_global_generator_and_validation_has_none(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial(epochs=2, **STRONG))
    before = torch.random.get_rng_state()
    draws = trainer.batches.draw(40, torch.Generator().manual_seed(0))
    rows = torch.arange(40)
    changed = trainer.batches.pixels(rows, draws)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert changed.dtype == torch.uint8 and not torch.equal(changed, trainer.batches.pixels(rows))
    assert torch.equal(trainer.batches.pixels(rows, draws), changed)
    plain = _trainer(make_trial(epochs=2))
    for (ours, _), (theirs, _) in zip(trainer.validation.in_order(64), plain.validation.in_order(64), strict=True):
        assert torch.equal(ours, theirs)
    assert trainer.validation.strong is None and trainer.batches.strong is not None


def _check_resume(trial: TrialConfig, stops: tuple[int, ...]) -> None:
    whole = _trainer(trial)
    records = _records(whole)
    for stop in stops:
        part, resumed = _trainer(trial), _trainer(trial)
        for _ in range(stop):
            part.run_epoch()
        resumed.load(_stored(part.state()))
        assert _records(resumed) == records[stop:]
        assert _same(resumed, whole)


@pytest.mark.parametrize("method", ["ldam-drw", "crt", "tau-norm"])
def test_a_shared_prefix_equals_the_own_first_epochs(make_trial: MakeTrial, method: str) -> None:
    trial = make_trial(method, epochs=5, **RECIPE)
    shared = shared_prefix_of(trial)
    assert shared is not None
    prefix, adopting, whole = _trainer(shared[0]), _trainer(trial), _trainer(trial)
    for _ in range(shared[1]):
        prefix.run_epoch()
    adopting.adopt(_stored(prefix.state()))
    records = _records(whole)
    assert _records(adopting) == records[shared[1] :]


def test_clipping_bounds_every_step(make_trial: MakeTrial) -> None:
    trial = make_trial(epochs=2, batch_size=100_000, lr=1.0, momentum=0, weight_decay=0, clip_norm=0.01)
    trainer = _trainer(trial)
    rates, before = [], [p.detach().clone() for p in trainer.network.parameters()]
    rates.append(trainer.run_epoch()["learning_rate"])  # one step
    moved = (
        sum(float((a - b).detach().square().sum()) for a, b in zip(trainer.network.parameters(), before, strict=True))
        ** 0.5
    )
    assert moved == pytest.approx(0.01 * rates[0], rel=1e-3)


def test_the_average_is_evaluated_selected_and_exported_and_the_training_goes_on_without_it(
    make_trial: MakeTrial,
) -> None:
    plain, averaging = _trainer(make_trial(epochs=3)), _trainer(make_trial(epochs=3, ema=0.9))
    images = averaging.data.validation.images[:8]
    for _ in range(2):
        plain.run_epoch()
        averaging.run_epoch()
    trained = averaging.network.state_dict()
    assert all(torch.equal(a, b) for a, b in zip(plain.network.state_dict().values(), trained.values(), strict=True))
    assert plain.evaluation is not None and averaging.evaluation is not None
    assert plain.evaluation.loss != averaging.evaluation.loss
    own = averaging.evaluated(averaging.validation.batch(torch.arange(8))).logits
    assert torch.allclose(classifier_of(averaging)(images), own, atol=1e-5)
    assert torch.equal(averaging.outputs(averaging.data.validation).logits[:8], own)
    kept = copy.deepcopy(averaging.weights())
    averaging.run_epoch()
    after = averaging.network.head.get_parameter("weight").detach().clone()
    averaging.take_weights(kept)
    assert torch.equal(averaging.evaluated(averaging.validation.batch(torch.arange(8))).logits, own)
    assert torch.equal(averaging.network.head.get_parameter("weight"), after)


@pytest.mark.parametrize("method", ["crt", "lws"])
def test_a_second_stage_trains_its_head_on_the_averaged_backbone(make_trial: MakeTrial, method: str) -> None:
    trainer = _trainer(make_trial(method, epochs=5, ema=0.9))
    _records(trainer)
    pairs = zip(trainer.network.backbone.parameters(), trainer.evaluated.backbone.parameters(), strict=True)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)


def test_layers_learn_at_their_own_rates(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial(epochs=2, layer_decay=0.5))
    rate = trainer.run_epoch()["learning_rate"]
    assert [group["lr"] for group in trainer.optimizer.param_groups] == pytest.approx([rate / 4, rate / 2, rate])


def test_a_setting_that_the_optimizer_lacks_is_refused_before_training(make_trial: MakeTrial) -> None:
    with pytest.raises(BadInput, match=r"`momentum` 0\.5 means nothing to the optimizer adamw"):
        _trainer(make_trial(optimizer="adamw", momentum=0.5))
