from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.components.network import Outputs
from trainables.core.config import DataConfig, ModelConfig, TrainingConfig, TrialConfig
from trainables.core.metric_names import METRICS
from trainables.core.metrics import from_confusion
from trainables.core.trial_folder import CLASS_RECALL
from trainables.data import StudyData, load
from trainables.training.batch_objective import WrongLossShape
from trainables.training.finite_watch import NonFiniteLoss
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]
CPU = torch.device("cpu")


def _trainer(config: TrialConfig, data: StudyData | None = None) -> Trainer:
    return Trainer(config, data or load(config.data), CPU)


def _timeless(record: dict[str, Any]) -> dict[str, str]:
    return {name: repr(value) for name, value in record.items() if name != "images_per_second"}


def _records(trainer: Trainer) -> list[dict[str, str]]:
    records = []
    while not trainer.finished:
        records.append(_timeless(trainer.run_epoch()))
    return records


def _weights(trainer: Trainer) -> list[Tensor]:
    return [*trainer.network.backbone.state_dict().values(), *trainer.network.head.state_dict().values()]


def _equal(one: Trainer, other: Trainer) -> bool:
    return all(torch.equal(a, b) for a, b in zip(_weights(one), _weights(other), strict=True))


def test_a_record_holds_every_metric_and_how_it_came(make_trial: MakeTrial) -> None:
    config = make_trial("ldam-drw", epochs=5)
    trainer = _trainer(config)
    record = trainer.run_epoch()
    assert record.keys() == {"epoch", "stage", "learning_rate", "images_per_second", CLASS_RECALL, *METRICS}
    assert (record["epoch"], record["stage"]) == (1, "plain")
    assert record["images_per_second"] > 0
    assert all(isinstance(record[name], float) for name in METRICS)
    assert trainer.evaluation is not None
    counts = trainer.data.class_counts.numpy()
    expected = from_confusion(trainer.evaluation.confusion.numpy(), counts)
    assert {name: repr(record[name]) for name in expected} == {name: repr(v) for name, v in expected.items()}
    assert record["loss"] == trainer.evaluation.loss
    assert int(trainer.evaluation.confusion.sum()) == len(trainer.data.validation.labels)


def test_it_learns(make_trial: MakeTrial) -> None:
    config = make_trial(epochs=10)
    trainer = _trainer(config)
    records = [trainer.run_epoch() for _ in range(10)]
    assert records[-1]["balanced_accuracy"] > 0.8
    assert records[-1]["train_loss"] < records[0]["train_loss"] / 2


def test_a_training_depends_on_its_configuration_and_on_nothing_before_it(make_trial: MakeTrial) -> None:
    config = make_trial("affinity")
    first = _trainer(config)
    expected = _records(first)
    torch.rand(1000)
    torch.manual_seed(1234)
    again = _trainer(config)
    records = []
    while not again.finished:
        torch.rand(7)  # others draw from the global generator between our epochs
        records.append(_timeless(again.run_epoch()))
    assert records == expected
    assert _equal(first, again)


def test_evaluating_in_between_changes_nothing(make_trial: MakeTrial) -> None:
    config = make_trial(epochs=3, data={"protocol": "m2m"})
    plain, looking = _trainer(config), _trainer(config)
    expected, records = _records(plain), []
    while not looking.finished:
        records.append(_timeless(looking.run_epoch()))
        looking.evaluate(looking.data.test())
    assert records == expected


def test_no_test_image_is_read_by_a_training(make_trial: MakeTrial) -> None:
    def forbidden() -> Any:
        raise AssertionError("the test images were read")

    config = make_trial("ldam-drw")
    data = dataclasses.replace(load(config.data), read_test=forbidden)
    assert len(_records(_trainer(config, data))) == 2


# ---- stages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "defer_until", "switch"), [(5, 0.8, 5), (10, 0.8, 9), (10, 0.3, 4), (4, 0.5, 3), (2, 0.8, 2)]
)
def test_stages_switch_at_their_epoch(epochs: int, defer_until: float, switch: int, make_trial: MakeTrial) -> None:
    config = make_trial("ldam-drw", epochs=epochs, batch_size=128)
    method = config.method.model_copy(update={"params": {"defer_until": defer_until}})
    records = _records(_trainer(config.model_copy(update={"method": method})))
    stages = [record["stage"] for record in records]
    assert stages == ["'plain'"] * (switch - 1) + ["'re-weighted'"] * (epochs - switch + 1)


def test_before_its_switch_a_deferred_method_is_the_plain_one(make_trial: MakeTrial) -> None:
    plain, deferred = (_records(_trainer(make_trial(name, epochs=5))) for name in ("ldam", "ldam-drw"))
    assert deferred[:4] == plain[:4]
    assert deferred[4]["train_loss"] != plain[4]["train_loss"]


def _watch_labels(trainer: Trainer) -> list[Tensor]:
    """Have the losses note the labels of every batch they see."""
    seen: list[Tensor] = []

    def watched(stage: Any) -> Any:
        def loss(outputs: Outputs, labels: Tensor) -> Tensor:
            if outputs.logits.requires_grad:
                seen.append(labels.clone())
            result: Tensor = stage.loss(outputs, labels)
            return result

        return dataclasses.replace(stage, loss=loss)

    trainer.plan = dataclasses.replace(trainer.plan, stages=tuple(watched(stage) for stage in trainer.plan.stages))
    return seen


@pytest.mark.parametrize(
    ("reduced", "found"),
    [
        (lambda losses: losses.mean(), r"has the shape \(\)"),
        (lambda losses: losses[:, None], r"has the shape \(64, 1\)"),
        (lambda losses: losses.mean().item(), "has type float"),
    ],
    ids=["scalar", "column", "number"],
)
@pytest.mark.parametrize("method", ["erm", "mixup"])
def test_a_loss_without_one_value_per_image_is_refused_at_the_first_batch(
    reduced: Callable[[Tensor], Any], found: str, method: str, make_trial: MakeTrial
) -> None:
    trainer = _trainer(make_trial(method))
    stages = [
        dataclasses.replace(stage, loss=lambda *given, own=stage.loss: reduced(own(*given)))
        for stage in trainer.plan.stages
    ]
    trainer.plan = dataclasses.replace(trainer.plan, stages=tuple(stages))
    steps: list[Any] = []
    said = rf"method '{method}': the loss of stage '.*' {found}; expected a tensor of shape \(B,\).*here \(64,\)"
    with pytest.raises(WrongLossShape, match=said):
        trainer.run_epoch(lambda *step: steps.append(step))
    assert steps == []


def test_erm_sees_every_image_once_an_epoch(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("erm"))
    seen = _watch_labels(trainer)
    for _ in range(2):
        trainer.run_epoch()
        assert torch.equal(torch.cat(seen).bincount(minlength=10), trainer.data.class_counts)
        seen.clear()


def test_the_order_changes_from_epoch_to_epoch(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("erm"))
    seen = _watch_labels(trainer)
    trainer.run_epoch()
    first = torch.cat(seen)
    seen.clear()
    trainer.run_epoch()
    assert not torch.equal(torch.cat(seen), first)


def test_resampling_sees_all_classes_alike(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("rs", epochs=20, batch_size=128))
    seen = _watch_labels(trainer)
    _records(trainer)
    labels, size = torch.cat(seen), len(trainer.data.train.labels)
    assert len(labels) == 20 * size  # an epoch is as long as the set
    shares = labels.bincount(minlength=10) / len(labels)
    assert shares.tolist() == pytest.approx([0.1] * 10, abs=0.01)
    assert float(trainer.data.class_counts.max() / trainer.data.class_counts.min()) > 8


def test_the_last_smaller_batch_is_kept(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial(batch_size=100))
    seen = _watch_labels(trainer)
    trainer.run_epoch()
    size = len(trainer.data.train.labels)
    assert size % 100 > 1
    assert [len(batch) for batch in seen] == [100] * (size // 100) + [size % 100]


def test_one_image_left_over_harms_no_batch_normalisation(make_trial: MakeTrial) -> None:
    images = len(load(make_trial().data).train.labels)
    config = make_trial(batch_size=next(size for size in range(40, 200) if images % size == 1))
    # resnet10 ends in one pixel of 8 x 8: a batch of one image would have nothing to average over
    trainer = _trainer(config.model_copy(update={"model": ModelConfig(name="resnet10")}))
    seen = _watch_labels(trainer)
    trainer.run_epoch()
    assert sum(len(batch) for batch in seen) == images
    assert min(len(batch) for batch in seen) > 1
    assert all(torch.isfinite(weight).all() for weight in _weights(trainer))


# ---- what goes wrong ---------------------------------------------------------------------------------------


def test_a_diverging_training_stops_with_epoch_step_and_values(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial(lr=1e30))
    with pytest.raises(NonFiniteLoss, match=r"loss (nan|inf) at epoch 1, step [1-9]\d* \(largest \|logit\| .*\)"):
        _records(trainer)
    assert trainer.epoch == 0  # the epoch is not counted


def test_weights_spoiled_by_the_very_last_step_are_noticed(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial(lr=1e38, epochs=1, batch_size=100_000))  # one step: its own loss is finite
    with pytest.raises(NonFiniteLoss, match=r"validation loss (nan|inf) at epoch 1, after its last step \(training"):
        _records(trainer)
    assert trainer.epoch == 0


# ---- continuing --------------------------------------------------------------------------------------------


def _tiny_images(make_trial: MakeTrial, folder: Path, model: str, **training: Any) -> TrialConfig:
    config = make_trial(
        "ldam-drw",
        data={"dataset": folder.name, "data_dir": str(folder.parent), "profile": {"kind": "long_tail", "ratio": 2}},
        **{"batch_size": 8, "epochs": 3, **training},
    )
    return config.model_copy(update={"model": ModelConfig(name=model)})


def test_a_loaded_state_is_not_written_into(make_trial: MakeTrial) -> None:
    trainer, resumed = _trainer(make_trial()), _trainer(make_trial())
    trainer.run_epoch()
    state = trainer.state()
    before = copy.deepcopy(state)
    resumed.load(state)
    resumed.run_epoch()
    momenta = [parameter["momentum_buffer"] for parameter in state["optimizer"]["state"].values()]
    kept = [parameter["momentum_buffer"] for parameter in before["optimizer"]["state"].values()]
    assert momenta
    assert all(torch.equal(a, b) for a, b in zip(momenta, kept, strict=True))
    assert all(torch.equal(state["backbone"][name], before["backbone"][name]) for name in before["backbone"])


def test_a_network_with_dropout_continues_bit_for_bit(
    make_trial: MakeTrial, write_images: Callable[..., Path], tmp_path: Path
) -> None:
    config = _tiny_images(make_trial, write_images(tmp_path / "colours"), "efficientnet_b0")
    data = load(config.data)
    whole, part, resumed = (Trainer(config, data, CPU) for _ in range(3))
    assert any(type(module).__name__ in ("Dropout", "StochasticDepth") for module in whole.network.backbone.modules())
    expected = _records(whole)
    part.run_epoch()
    resumed.load(part.state())
    torch.rand(5)
    assert _records(resumed) == expected[1:]
    assert _equal(whole, resumed)


def test_what_dropout_draws_from_restarts_differently_in_every_epoch_and_for_every_seed(make_trial: MakeTrial) -> None:
    config, drawn = make_trial(epochs=3), []
    torch_manual_seed = torch.manual_seed

    def noting(seed: int) -> Any:
        drawn.append(seed)
        return torch_manual_seed(seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.manual_seed", noting)
        for seed in (0, 1):
            _records(_trainer(config.model_copy(update={"seed": seed})))
    assert len(set(drawn)) == len(drawn) == 8  # for either seed the weights and three epochs


# ---- every field of the configuration ----------------------------------------------------------------------

BASE = {
    "data": {"dataset": "digits", "profile": {"kind": "step", "ratio": 4}, "validation_fraction": 0.2},
    "model": {"name": "conv-tiny"},
    "method": {"name": "cce"},
    "training": {
        "epochs": 4,
        "batch_size": 64,
        "lr": 0.05,
        "precision": "float32",
        "augmentation": "none",
        "schedule": {"milestones": [0.5], "factor": 0.1, "warmup": 0.25},
    },
    "seed": 0,
}
CHANGES: dict[str, Any] = {
    "data.image_size": 10,
    "data.profile.kind": "fraction",
    "data.profile.ratio": 5.0,
    "data.profile.minority": "odd",
    "data.protocol": "m2m",
    "data.validation_fraction": 0.3,
    "data.label_noise": 0.1,
    "data.subset_seed": 1,
    "model.name": "mlp",
    "method.name": "focal",
    "method.preset": "official",
    "method.params": {"gamma": -2.0},
    "training.epochs": 3,
    "training.batch_size": 32,
    "training.lr": 0.04,
    "training.momentum": 0.8,
    "training.nesterov": True,
    "training.weight_decay": 0.01,
    "training.schedule.kind": "cosine",
    "training.schedule.milestones": [0.75],
    "training.schedule.factor": 0.2,
    "training.schedule.warmup": 0.5,
    "training.augmentation": "crop",
    "training.brightness": 0.5,
    "training.contrast": 0.5,
    "training.auto_augment": "trivial",
    "training.cutout": 3,
    "training.input_scaling": "symmetric",
    "training.optimizer": "adamw",
    "training.layer_decay": 0.5,
    "training.clip_norm": 0.1,
    "training.ema": 0.9,
    "training.precision": "bfloat16",
    "seed": 1,
}
ELSEWHERE = {
    "data.dataset": "test_another_data_set_gives_other_numbers",
    "data.data_dir": "test_another_data_set_gives_other_numbers",
    "data.test_fraction": "test_what_is_said_and_in_the_fingerprint (data/sources/test_drawn_test.py)",
    "data.test_seed": "test_what_is_said_and_in_the_fingerprint (data/sources/test_drawn_test.py)",
    "data.folds": "test_folds_divide_the_images_and_are_stratified (data/test_subset_selection.py)",
    "data.fold": "test_folds_divide_the_images_and_are_stratified (data/test_subset_selection.py)",
    "training.crop_size": "test_random_crops_are_torchvisions (data/pipeline/test_crop_size.py)",
    "training.crop_padding": "test_random_crops_are_torchvisions (data/pipeline/test_crop_size.py)",
    "training.test_crop_size": "test_crops_brightness_and_symmetric_inputs_resume_bit_for_bit",
    "data.memory_budget_gb": "test_a_training_does_not_depend_on_the_memory_budget (test_streaming_pipeline.py)",
    "model.options": "test_options_change_the_network_and_its_image_size_follows_the_data (test_timm_backbones.py)",
    "model.tuned": "test_every_scope_goes_with_any_loss_and_repeats_its_bits (test_tuned_backbone.py)",
    "model.weights": "test_a_training_begins_from_the_weights (backbones/test_pretrained_weights.py)",
    "training.saturation": "test_contrast_and_saturation_are_torchvisions (data/pipeline/test_strong_augmentation.py)",
    "training.rand_ops": "test_the_settings_of_a_training_arrive (data/pipeline/test_strong_augmentation.py)",
    "training.rand_magnitude": "test_the_settings_of_a_training_arrive (data/pipeline/test_strong_augmentation.py)",
    "training.betas": "test_adamw_is_torchs_with_the_settings_of_the_training (components/test_optimizers.py)",
    "training.channels_last": "test_channels_last_lays_images_and_weights_out_so",
    "training.compile": "test_compile_compiles_the_network_and_changes_no_name",
    "training.checkpoint_seconds": "test_checkpoints_come_as_often_as_asked_for (test_tune_trial.py)",
}


def _changed(mapping: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    key, _, rest = path.partition(".")
    return {**mapping, key: _changed(mapping.get(key, {}), rest, value) if rest else value}


def _fields(model: Any, prefix: str = "") -> set[str]:
    names: set[str] = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
        nested = isinstance(inner, type) and hasattr(inner, "model_fields")
        names |= _fields(inner, f"{prefix}{name}.") if nested else {prefix + name}
    return names


def test_the_table_of_changes_names_every_field() -> None:
    assert set(CHANGES) | set(ELSEWHERE) == _fields(TrialConfig)


@pytest.fixture(scope="module")
def base() -> tuple[list[dict[str, str]], list[Tensor]]:
    trainer = _trainer(TrialConfig.model_validate(BASE))
    return _records(trainer), _weights(trainer)


@pytest.mark.parametrize("path", CHANGES)
def test_every_field_changes_the_numbers(path: str, base: tuple[list[dict[str, str]], list[Tensor]]) -> None:
    trainer = _trainer(TrialConfig.model_validate(_changed(BASE, path, CHANGES[path])))
    records, (before, weights) = _records(trainer), base
    same = [torch.equal(a, b) for a, b in zip(_weights(trainer), weights, strict=False) if a.shape == b.shape]
    assert records != before
    assert path in ("training.epochs", "model.name", "training.ema") or not all(same)


def test_the_same_configuration_gives_the_same_numbers(base: tuple[list[dict[str, str]], list[Tensor]]) -> None:
    assert _records(_trainer(TrialConfig.model_validate(BASE))) == base[0]


def test_the_schedule_is_seen_in_the_records(base: tuple[list[dict[str, str]], list[Tensor]]) -> None:
    rates = [float(record["learning_rate"]) for record in base[0]]
    assert rates == pytest.approx([0.05, 0.05, 0.005, 0.005])


def test_another_data_set_gives_other_numbers(
    make_trial: MakeTrial, write_images: Callable[..., Path], tmp_path: Path
) -> None:
    write_images(tmp_path / "a" / "colours", size=8)
    write_images(tmp_path / "a" / "tones", size=8, seed=1)
    write_images(tmp_path / "b" / "colours", size=8, seed=2)
    found = []
    for folder, name in (("a", "colours"), ("a", "tones"), ("b", "colours")):
        config = _tiny_images(make_trial, tmp_path / folder / name, "mlp")
        found.append(_records(_trainer(config)))
    assert found[0] != found[1]
    assert found[0] != found[2]


@pytest.mark.parametrize("channels_last", [True, False])
def test_channels_last_lays_images_and_weights_out_so(
    channels_last: bool, make_trial: MakeTrial, write_images: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "colours", size=8)
    trainer = _trainer(_tiny_images(make_trial, folder, "conv-tiny", channels_last=channels_last))
    (weight,) = (w for w in trainer.network.backbone.parameters() if w.dim() == 4 and w.shape[1] == 3)
    assert weight.is_contiguous(memory_format=torch.channels_last) == channels_last
    images, _ = next(iter(trainer.validation.in_order(8)))
    assert images.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert len(_records(trainer)) == 3


def test_the_layout_changes_no_number_that_matters(make_trial: MakeTrial) -> None:
    losses = [_trainer(make_trial(channels_last=flag)).run_epoch()["train_loss"] for flag in (True, False)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_compile_compiles_the_network_and_changes_no_name(
    make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[torch.nn.Module] = []

    def compile_(module: torch.nn.Module) -> torch.nn.Module:
        compiled.append(module)
        return module

    monkeypatch.setattr("torch.compile", compile_)
    plain, trainer = _trainer(make_trial()), _trainer(make_trial(compile=True))
    assert compiled == [trainer.network.backbone]
    assert trainer.state()["backbone"].keys() == plain.state()["backbone"].keys()


def test_label_noise_changes_labels_and_images_stay(make_trial: MakeTrial) -> None:
    clean, noisy = (load(make_trial(data={"label_noise": noise}).data) for noise in (0.0, 0.3))
    assert torch.equal(clean.train.images, noisy.train.images)
    changed = (clean.train.labels != noisy.train.labels).float().mean()
    assert float(changed) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(clean.validation.labels, noisy.validation.labels)
    assert torch.equal(noisy.class_counts, noisy.train.labels.bincount(minlength=10))


def test_bfloat16_keeps_the_logits_in_float32(make_trial: MakeTrial) -> None:
    trainer = _trainer(make_trial("ldam", precision="bfloat16"))
    images, _ = next(iter(trainer.validation.in_order(8)))
    outputs = trainer.network(images)
    assert trainer.network.autocast == torch.bfloat16
    assert outputs.logits.dtype == outputs.features.dtype == torch.float32
    assert all(math.isfinite(float(record["train_loss"])) for record in _records(trainer))


def test_the_data_of_a_trial_are_those_of_its_configuration(make_trial: MakeTrial) -> None:
    config = make_trial()
    assert _trainer(config).data.fingerprint == load(DataConfig.model_validate(config.data.model_dump())).fingerprint


@pytest.mark.parametrize("method", ["m2m", "smote", "mixup-drw", "tau-norm"])
def test_crops_brightness_and_symmetric_inputs_resume_bit_for_bit(make_trial: MakeTrial, method: str) -> None:
    trial = make_trial(method, epochs=3)
    changes = {
        "augmentation": "crop-flip",
        "crop_size": 12,
        "crop_padding": 3,
        "test_crop_size": 8,
        "brightness": 0.5,
        "input_scaling": "symmetric",
    }
    training = TrainingConfig.model_validate({**trial.training.model_dump(), **changes})
    trial = trial.model_copy(update={"training": training, "model": ModelConfig(name="resnet20")})
    data = load(trial.data)
    whole, first = _trainer(trial, data), _trainer(trial, data)
    records = _records(whole)
    assert first.batches.pixels(torch.arange(4)).shape[2:] == (12, 12)
    images = first.batches.batch(torch.arange(4))
    assert -1 - 1e-6 <= images.min() < 0 < images.max() <= 1 + 1e-6
    assert [_timeless(first.run_epoch()) for _ in range(2)] == records[:2]
    state = copy.deepcopy(first.state())
    second = _trainer(trial, data)
    second.load(state)
    assert _records(second) == records[2:] and _equal(second, whole)
    assert next(batch.shape[2:] for batch, _ in second.validation.in_order(4)) == (8, 8)
