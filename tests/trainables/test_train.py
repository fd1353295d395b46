"""The loop: stages, samplers, every configuration field, divergence, resuming networks with randomness."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.config import TrialConfig
from trainables.data import load
from trainables.finite import NonFiniteLoss
from trainables.train import Trainer

CPU = torch.device("cpu")


def _trainer(config: TrialConfig) -> Trainer:
    return Trainer(config, load(config.data), CPU)


def _fingerprint(config: TrialConfig) -> tuple[Any, ...]:
    trainer = _trainer(config)
    records = []
    while not trainer.finished:
        records.append({k: repr(v) for k, v in trainer.run_epoch().items() if k != "images_per_second"})
    return tuple(map(str, records))


def _changed(config: TrialConfig, part: str, **values: Any) -> TrialConfig:
    if part == "trial":
        return config.model_copy(update=values)
    inner = getattr(config, part).model_copy(update=values)
    return config.model_copy(update={part: inner})


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("trial", {"seed": 5}),
        ("training", {"epochs": 4}),
        ("training", {"batch_size": 32}),
        ("training", {"lr": 0.01}),
        ("training", {"momentum": 0.5}),
        ("training", {"nesterov": True}),
        ("training", {"weight_decay": 0.1}),
        ("training", {"augmentation": "crop"}),
        ("training", {"augmentation": "crop-flip"}),
        ("training", {"precision": "bfloat16"}),
        ("data", {"label_noise": 0.3}),
        ("data", {"subset_seed": 1}),
        ("data", {"validation_fraction": 0.3}),
        ("data", {"protocol": "m2m"}),
        ("data", {"protocol": "test-select"}),
    ],
    ids=lambda value: str(value),
)
def test_every_field_changes_the_numbers(part: str, values: dict[str, Any], make_trial: Any) -> None:
    config = make_trial(epochs=3)
    assert _fingerprint(_changed(config, part, **values)) != _fingerprint(config)


@pytest.mark.parametrize(
    "schedule",
    [
        {"kind": "constant"},
        {"kind": "cosine"},
        {"milestones": (0.4,)},
        {"factor": 0.5},
        {"warmup": 0.9},
    ],
    ids=str,
)
def test_every_field_of_the_schedule_changes_the_rates(schedule: dict[str, Any], make_trial: Any) -> None:
    def rates(**given: Any) -> list[float]:
        trainer = _trainer(make_trial(epochs=5, schedule=given))
        return [trainer.run_epoch()["learning_rate"] for _ in range(5)]

    assert rates(**schedule) != rates()


def test_the_memory_layout_changes_no_number_that_matters(make_trial: Any) -> None:
    records = [_trainer(make_trial(channels_last=flag)).run_epoch() for flag in (True, False)]
    assert records[0]["train_loss"] == pytest.approx(records[1]["train_loss"], rel=1e-3)


def test_the_deferred_stage_begins_at_its_epoch(make_trial: Any) -> None:
    trainer = _trainer(make_trial("ldam-drw", epochs=5))
    stages = [trainer.run_epoch()["stage"] for _ in range(5)]
    assert stages == ["plain"] * 4 + ["re-weighted"]


def test_resampling_really_draws_classes_evenly(make_trial: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, torch.Tensor] = {}
    for method in ("erm", "rs"):
        trainer = _trainer(make_trial(method))
        counts = torch.zeros(10)
        original = trainer._batch_loss

        def counting(stage: Any, outputs: Any, labels: torch.Tensor, counts: Any = counts, of: Any = original) -> Any:
            counts += torch.bincount(labels, minlength=10)
            return of(stage, outputs, labels)

        monkeypatch.setattr(trainer, "_batch_loss", counting)
        trainer.run_epoch()
        seen[method] = counts
    true_counts = load(make_trial().data).class_counts.float()
    assert torch.equal(seen["erm"], true_counts)
    assert seen["rs"].sum() == seen["erm"].sum()
    assert seen["rs"].min() > 0.6 * seen["rs"].mean()


def test_a_diverging_loss_stops_with_epoch_step_and_values(make_trial: Any) -> None:
    trainer = _trainer(make_trial(lr=1e30, epochs=5, schedule={"warmup": 0}))
    with pytest.raises(
        NonFiniteLoss, match=r"loss (nan|inf) at epoch 1, step \d+ \(largest \|logit\| .*, learning rate 1e\+30\)"
    ):
        trainer.run_epoch()
    assert trainer.epoch == 0


def test_a_network_that_draws_random_numbers_resumes_bit_for_bit(make_trial: Any) -> None:
    config = TrialConfig.model_validate(make_trial().model_dump() | {"model": {"name": "efficientnet_b0"}})
    whole = _trainer(config)
    whole.run_epoch()
    state = whole.state()
    resumed = _trainer(config)
    resumed.load(state)
    torch.rand(7)  # whatever else happened in the process
    expected, found = whole.run_epoch(), resumed.run_epoch()
    assert expected["train_loss"] == found["train_loss"]
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.backbone.state_dict().values(), resumed.backbone.state_dict().values(), strict=True)
    )


def test_a_state_of_another_configuration_is_refused(make_trial: Any) -> None:
    state = _trainer(make_trial()).state()
    with pytest.raises(ValueError, match="another configuration"):
        _trainer(make_trial(lr=0.02)).load(state)


def test_a_last_batch_of_one_image_trains_with_batchnorm(make_trial: Any) -> None:
    config = make_trial(epochs=1)
    images = int(load(config.data).class_counts.sum())
    size = next(n for n in range(16, 200) if images % n == 1)
    config = TrialConfig.model_validate(
        config.model_dump() | {"model": {"name": "resnet10"}, "training": {"epochs": 1, "batch_size": size, "lr": 0.01}}
    )
    assert _trainer(config).run_epoch()["epoch"] == 1


def test_no_test_label_is_read_under_holdout(make_trial: Any) -> None:
    config = make_trial()
    data = load(config.data)

    def forbidden() -> None:
        raise AssertionError("the test split was read")

    object.__setattr__(data, "read_test", forbidden)
    trainer = Trainer(config, data, CPU)
    while not trainer.finished:
        trainer.run_epoch()
    with pytest.raises(AssertionError, match="was read"):
        data.test()
