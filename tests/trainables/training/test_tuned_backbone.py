"""What is trained of a network: the same for every method of a study, or said by a method."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from trainables.backbones import build_backbone
from trainables.core.config import ModelConfig, TrialConfig, TuningConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.training.exported_network import exported_network
from trainables.training.trainer import Trainer
from trainables.training.tuned_backbone import check_tuning, parameter_counts

PAIRS = [
    *(("ldam-drw", scope) for scope in ("head", "bias", "adapter")),
    *((method, "lora") for method in ("ldam-drw", "crt", "m2m", "sam", "center", "tau-norm")),
]


def _tuned(config: TrialConfig, tuned: Any, name: str = "transformer-tiny", **model: Any) -> TrialConfig:
    return config.model_copy(update={"model": ModelConfig(name=name, tuned=tuned, **model)})


def _trainer(config: TrialConfig) -> Trainer:
    return Trainer(config, load(config.data), torch.device("cpu"))


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "images_per_second": 0}


@pytest.mark.parametrize(("method", "scope"), PAIRS)
def test_every_scope_goes_with_any_loss_and_repeats_its_bits(method: str, scope: str, make_trial: Any) -> None:
    config = _tuned(make_trial(method, epochs=3), scope)
    whole = _trainer(config)
    trained = {name for name, _ in whole.network.trainable_parameters()}
    before = {name: value.clone() for name, value in whole.network.named_parameters()}
    records = [_timeless(whole.run_epoch()) for _ in range(2)]
    resumed = _trainer(config)
    resumed.load(whole.state())
    records.append(_timeless(whole.run_epoch()))
    assert _timeless(resumed.run_epoch()) == records[-1]
    for name, parameter in whole.network.named_parameters():
        assert name in trained or torch.equal(parameter, before[name])
        assert torch.equal(parameter, dict(resumed.network.named_parameters())[name])


RECIPE: dict[str, Any] = {"optimizer": "adamw", "lr": 0.01, "layer_decay": 0.7, "clip_norm": 0.5, "ema": 0.9}


@pytest.mark.parametrize(
    ("method", "scope"), [("erm", "lora"), ("crt", "adapter"), ("m2m", "bias"), ("sam", "lora"), ("offset", "head")]
)
def test_averaged_weights_and_layer_wise_rates_go_with_every_scope(method: str, scope: str, make_trial: Any) -> None:
    config = _tuned(make_trial(method, epochs=3, **RECIPE), scope)
    whole, resumed = _trainer(config), _trainer(config)
    frozen = {name: p.clone() for name, p in whole.network.named_parameters()}
    for name, _ in whole.network.trainable_parameters():
        del frozen[name]
    whole.run_epoch()
    state = whole.state()
    kept = {f"backbone.{name}" for part in (state, state["averaged"]) for name in part["backbone"]}
    assert not kept & frozen.keys()
    resumed.load(state)
    for _ in range(2):
        assert _timeless(resumed.run_epoch()) == _timeless(whole.run_epoch())
    for network in (whole.network, whole.evaluated):
        own = dict(network.named_parameters())
        assert all(torch.equal(own[name], value) for name, value in frozen.items())


@pytest.mark.parametrize(("scope", "method"), [("head", "linear-probe"), ("bias", "bitfit"), ("lora", "lora")])
def test_a_scope_of_the_model_under_erm_is_the_method_of_that_name(scope: str, method: str, make_trial: Any) -> None:
    own = _trainer(_tuned(make_trial(method), None))
    by_model = _trainer(_tuned(make_trial("erm"), scope))
    assert _timeless(own.run_epoch()) == _timeless(by_model.run_epoch())


def test_a_state_holds_no_frozen_weight(make_trial: Any) -> None:
    def size(tuned: str) -> int:
        content = io.BytesIO()
        trainer = _trainer(_tuned(make_trial("erm"), tuned))
        trainer.run_epoch()
        torch.save(trainer.state(), content)
        return len(content.getvalue())

    assert size("lora") < size("all") / 10
    trainer = _trainer(_tuned(make_trial("erm"), "lora"))
    assert all(".down" in name or ".up" in name for name in trainer.state()["backbone"])
    assert trainer.weights()["backbone"].keys() == trainer.state()["backbone"].keys()


def test_weights_of_an_epoch_are_taken_back(make_trial: Any) -> None:
    trainer = _trainer(_tuned(make_trial("erm"), "adapter"))
    trainer.run_epoch()
    kept, found = trainer.weights(), trainer.evaluate(trainer.data.validation)
    trainer.run_epoch()
    trainer.take_weights(kept)
    assert trainer.evaluate(trainer.data.validation).loss == found.loss


def test_a_state_is_refused_where_the_frozen_weights_are_others(make_trial: Any) -> None:
    trainer, other = (_trainer(_tuned(make_trial("erm"), "head")) for _ in range(2))
    with torch.no_grad():
        next(other.network.backbone.parameters()).add_(1)
    with pytest.raises(ValueError, match="does not hold the frozen weights"):
        other.load(trainer.state())


def test_pretrained_weights_come_before_what_is_inserted(make_trial: Any, tmp_path: Any) -> None:
    torch.manual_seed(7)
    given = build_backbone("transformer-tiny", 1, 8)
    torch.save(given.network.state_dict(), tmp_path / "given.pt")
    trainer = _trainer(_tuned(make_trial("erm"), "lora", weights=str(tmp_path / "given.pt")))
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(trainer.network.backbone.eval()(images), given.eval()(images))


def test_the_exported_network_has_lora_merged(make_trial: Any) -> None:
    trainer = _trainer(_tuned(make_trial("erm", lr=0.5), "lora"))
    trainer.run_epoch()
    content, example = exported_network(trainer, trainer.data.validation)
    program = torch.export.load(io.BytesIO(content))
    assert not any(".down" in name or ".up" in name for name in program.state_dict)
    images, logits = example["images"], example["logits"]
    torch.testing.assert_close(program.module()(torch.as_tensor(images)), torch.as_tensor(logits))
    trained = trainer.outputs(trainer.data.validation).logits[: len(images)]
    torch.testing.assert_close(torch.as_tensor(logits), trained, rtol=1e-4, atol=1e-4)


def test_a_method_that_tunes_does_not_go_with_a_tuned_model(make_trial: Any) -> None:
    with pytest.raises(BadInput, match="`tuned` bias does not go with lora, which says itself what is trained"):
        _trainer(_tuned(make_trial("lora"), "bias"))


def test_the_check_needs_no_weights_and_names_the_network(make_trial: Any) -> None:
    counts, state = torch.ones(10, dtype=torch.int64), torch.get_rng_state()
    check_tuning(_tuned(make_trial("erm"), "adapter"), counts, (1, 8, 8))
    check_tuning(_tuned(make_trial("erm"), "all", name="mlp"), counts, (1, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(BadInput, match="erm: adapters need transformer blocks, and mlp has none"):
        check_tuning(_tuned(make_trial("erm"), "adapter", name="mlp"), counts, (1, 8, 8))


def test_a_layer_whose_weight_is_read_but_which_is_not_called_is_noticed(
    make_trial: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.backbones.small_transformer import Perceptron

    def bypass(self: Perceptron, tokens: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(tokens, self.fc1.weight)[..., :64]

    monkeypatch.setattr(Perceptron, "forward", bypass)
    config = _tuned(make_trial("erm"), {"scope": "lora", "projections": "blocks"})
    with pytest.raises(BadInput, match=r"transformer-tiny does not use `network.blocks.0.mlp.fc1.down`"):
        check_tuning(config, torch.ones(10, dtype=torch.int64), (1, 8, 8))


def test_what_counts_as_trained(make_trial: Any) -> None:
    trained, total = parameter_counts(_trainer(make_trial("crt")).network)
    assert trained == total  # a stage freezes the backbone, another trained it
    trained, total = parameter_counts(_trainer(_tuned(make_trial("crt"), "head")).network)
    assert trained == 650 < total


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lore", "unknown scope 'lore'; did you mean 'lora'"),
        ({"scope": "bias", "rank": 4}, "`rank` needs scope lora, got scope bias"),
        ({"scope": "lora", "width": 4}, "`width` needs scope adapter, got scope lora"),
        ({"scope": "lora", "rank": 0}, "greater than or equal to 1"),
        ({"rank": 4}, "scope"),
    ],
)
def test_bad_tunings_are_refused(given: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        ModelConfig(name="mlp", tuned=given)


def test_a_tuning_is_part_of_a_trainings_identity_and_its_default_is_not(make_trial: Any) -> None:
    plain = make_trial("erm")
    prints = {_tuned(plain, given, name="mlp").fingerprint() for given in ("all", "head", "bias", "lora")}
    assert len(prints) == 4 and plain.fingerprint() in prints
    stored = ModelConfig(name="mlp", tuned=TuningConfig(scope="lora", rank=2))
    assert ModelConfig.model_validate(stored.model_dump(mode="json")) == stored
