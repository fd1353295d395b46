from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from trainables.core.config import DataConfig, MethodConfig, ProfileConfig, ScheduleConfig, TrainingConfig, TrialConfig

MakeTrial = Callable[..., TrialConfig]


@pytest.mark.parametrize(
    ("build", "values", "said"),
    [
        (ProfileConfig, {"ratio": 0.99}, "greater than or equal to 1"),
        (ProfileConfig, {"ratio": float("inf")}, "finite"),
        (ProfileConfig, {"ratio": float("nan")}, "finite"),
        (ProfileConfig, {"kind": "natural", "ratio": 10}, "`ratio` must be left out with kind natural, got 10"),
        (ProfileConfig, {"kind": "longtail"}, "'long_tail'"),
        (ProfileConfig, {"minority": "middle"}, "'last', 'first', 'odd' or 'even'"),
        (ProfileConfig, {"ration": 10}, "unknown key 'ration'; did you mean 'ratio'?"),
        (DataConfig, {"dataset": "digits", "validation_fraction": 0}, "greater than 0"),
        (DataConfig, {"dataset": "digits", "validation_fraction": 1}, "less than 1"),
        (DataConfig, {"dataset": "digits", "label_noise": -0.1}, "greater than or equal to 0"),
        (DataConfig, {"dataset": "digits", "label_noise": 1}, "less than 1"),
        (DataConfig, {"dataset": "digits", "subset_seed": -1}, "greater than or equal to 0"),
        (DataConfig, {"dataset": "digits", "protocol": "hold-out"}, "'holdout', 'published', 'm2m' or 'test-select'"),
        (DataConfig, {}, "Field required"),
        (DataConfig, {"dataset": "digits", "folds": 1, "fold": 0}, "greater than or equal to 2"),
        (DataConfig, {"dataset": "digits", "folds": 3}, "`folds` and `fold` must be given together"),
        (DataConfig, {"dataset": "digits", "folds": 3, "fold": 3}, "`fold` must be in 0..2, got 3"),
        (DataConfig, {"dataset": "x", "folds": 3, "fold": 0, "protocol": "m2m"}, "needs protocol holdout, got m2m"),
        (TrainingConfig, {"brightness": 1.5}, "less than or equal to 1"),
        (TrainingConfig, {"crop_size": 0}, "greater than or equal to 1"),
        (TrainingConfig, {"crop_padding": -1}, "greater than or equal to 0"),
        (TrainingConfig, {"test_crop_size": 0}, "greater than or equal to 1"),
        (TrainingConfig, {"input_scaling": "minmax"}, "'symmetric' or 'pretrained'"),
        (ScheduleConfig, {"milestones": [0.9, 0.8]}, "must rise within (0, 1), got [0.9, 0.8]"),
        (ScheduleConfig, {"milestones": [0.5, 0.5]}, "must rise within (0, 1)"),
        (ScheduleConfig, {"milestones": [0.0]}, "must rise within (0, 1)"),
        (ScheduleConfig, {"milestones": [1.0]}, "must rise within (0, 1)"),
        (ScheduleConfig, {"milestones": [50.0]}, "got [50.0]; whole epochs are integers from 2, such as 50"),
        (ScheduleConfig, {"milestones": [1]}, "must rise from 2, got [1]: 1 is ambiguous"),
        (ScheduleConfig, {"milestones": [1, 50]}, "must rise from 2, got [1, 50]"),
        (ScheduleConfig, {"milestones": [90, 50]}, "must rise from 2, got [90, 50]"),
        (ScheduleConfig, {"milestones": [-5]}, "must rise from 2, got [-5]"),
        (ScheduleConfig, {"milestones": [0.5, 90]}, "all fractions in (0, 1) or all whole epochs, got [0.5, 90]"),
        (ScheduleConfig, {"milestones": [True]}, "must rise from 2"),
        (TrainingConfig, {"epochs": 50, "schedule": {"milestones": [20, 50]}}, "must be below `epochs` (50), got 50"),
        (ScheduleConfig, {"factor": 0}, "greater than 0"),
        (ScheduleConfig, {"factor": 1.5}, "less than or equal to 1"),
        (ScheduleConfig, {"warmup": 1}, "less than 1"),
        (TrainingConfig, {"epochs": 0}, "greater than or equal to 1"),
        (TrainingConfig, {"batch_size": 0}, "greater than or equal to 1"),
        (TrainingConfig, {"lr": 0}, "greater than 0"),
        (TrainingConfig, {"lr": float("inf")}, "finite"),
        (TrainingConfig, {"momentum": 1}, "less than 1"),
        (TrainingConfig, {"weight_decay": -1e-4}, "greater than or equal to 0"),
        (TrainingConfig, {"nesterov": True, "momentum": 0}, "`nesterov` needs `momentum` > 0, got 0"),
        (TrainingConfig, {"precision": "fp16"}, "'auto', 'float32', 'bfloat16' or 'native'"),
        (TrainingConfig, {"augmentation": "turn"}, "'auto', 'none', 'flip', 'crop', 'crop-flip' or 'resize"),
        (TrainingConfig, {"checkpoint_seconds": -1}, "greater than or equal to 0"),
        (TrainingConfig, {"learning_rate": 1}, "unknown key 'learning_rate'"),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[..., Any], values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        build(**values)
    assert said in str(caught.value)


def test_natural_has_ratio_1() -> None:
    assert ProfileConfig(kind="natural").ratio == 1
    assert ProfileConfig.model_validate({"kind": "natural", "ratio": 1}) == ProfileConfig(kind="natural")


def test_the_defaults_are_the_recipe_of_the_papers() -> None:
    """METHODS section 5: SGD .9, 200 epochs of 128, .1 times .01 at 160 and 180, five epochs of warm-up, 2e-4."""
    training = TrainingConfig()
    assert (training.epochs, training.batch_size, training.lr) == (200, 128, 0.1)
    assert (training.momentum, training.weight_decay) == (0.9, 2e-4)
    schedule = training.schedule
    assert (schedule.kind, schedule.milestones, schedule.factor) == ("step", (0.8, 0.9), 0.01)
    assert schedule.warmup * training.epochs == 5


def test_configurations_cannot_be_changed(make_trial: MakeTrial) -> None:
    trial = make_trial()
    with pytest.raises(ValidationError):
        trial.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        trial.training.lr = 1.0  # type: ignore[misc]


def test_json_brings_the_same_configuration_back(make_trial: MakeTrial) -> None:
    trial = make_trial("ldam-drw", data={"profile": {"kind": "step", "ratio": 5, "minority": "odd"}})
    assert TrialConfig.model_validate_json(trial.model_dump_json()) == trial
    assert TrialConfig.model_validate(trial.model_dump(mode="json")).fingerprint() == trial.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"method": MethodConfig(name="cce")},
        {"method": MethodConfig(name="erm", preset="paper")},
        {"training": TrainingConfig(lr=0.01)},
    ],
)
def test_the_fingerprint_follows_every_change(change: dict[str, Any], make_trial: MakeTrial) -> None:
    assert make_trial().model_copy(update=change).fingerprint() != make_trial().fingerprint()


def test_the_fingerprint_does_not_follow_the_order_of_hyperparameters(make_trial: MakeTrial) -> None:
    one, other = (
        make_trial().model_copy(update={"method": MethodConfig(name="ldam", params=values)})
        for values in ({"max_margin": 0.5, "scale": 30.0}, {"scale": 30.0, "max_margin": 0.5})
    )
    assert one.fingerprint() == other.fingerprint()


def test_the_fingerprint_is_the_same_in_every_process(make_trial: MakeTrial) -> None:
    code = (
        "import sys; from trainables.core.config import TrialConfig;"
        "print(TrialConfig.model_validate_json(sys.argv[1]).fingerprint(), 'torch' in sys.modules)"
    )
    trial = make_trial()
    said = subprocess.run([sys.executable, "-c", code, trial.model_dump_json()], capture_output=True, text=True)
    assert said.stdout.split() == [trial.fingerprint(), "False"]


def test_whole_milestones_survive_storing_and_change_the_fingerprint(make_trial: Callable[..., TrialConfig]) -> None:
    whole = make_trial(epochs=100, schedule={"milestones": [50, 90]})
    assert TrialConfig.model_validate_json(whole.model_dump_json()) == whole
    assert whole.model_dump(mode="json")["training"]["schedule"]["milestones"] == [50, 90]
    assert all(type(m) is int for m in whole.training.schedule.milestones)
    fractions = make_trial(epochs=100, schedule={"milestones": [0.5, 0.9]})
    assert all(type(m) is float for m in fractions.training.schedule.milestones)
    assert whole.fingerprint() != fractions.fingerprint()


def test_later_fields_enter_the_fingerprint_only_if_they_are_used() -> None:
    trial = TrialConfig.model_validate({"data": {"dataset": "digits"}, "method": {"name": "erm"}})
    # computed before the fields for folds, crops, brightness and input scaling existed
    assert trial.fingerprint() == "a5baf5454b3b5546f3cb50cfb28cd7b5f42c730dd8d7cf08779a2ab87d7668dd"
    for part, change in (
        ("data", {"folds": 3, "fold": 0}),
        ("training", {"brightness": 0.1}),
        ("training", {"crop_size": 8}),
        ("training", {"crop_padding": 0}),
        ("training", {"test_crop_size": 8}),
        ("training", {"input_scaling": "symmetric"}),
        ("training", {"contrast": 0.4}),
        ("training", {"saturation": 0.4}),
        ("training", {"auto_augment": "rand"}),
        ("training", {"auto_augment": "rand", "rand_magnitude": 12}),
        ("training", {"cutout": 4}),
        ("training", {"optimizer": "adamw"}),
        ("training", {"betas": (0.9, 0.95)}),
        ("training", {"layer_decay": 0.9}),
        ("training", {"clip_norm": 1.0}),
        ("training", {"ema": 0.999}),
    ):
        changed = getattr(trial, part).model_copy(update=change)
        assert trial.model_copy(update={part: changed}).fingerprint() != trial.fingerprint()


@pytest.mark.parametrize(
    ("given", "digest"),
    [
        (
            {
                "data": {"dataset": "cifar10", "profile": {"kind": "step", "ratio": 10}},
                "model": {"name": "resnet20"},
                "method": {"name": "ldam-drw", "params": {"scale": 20}},
                "training": {
                    **{"epochs": 100, "lr": 0.05, "momentum": 0.8, "nesterov": True},
                    **{"augmentation": "crop-flip", "brightness": 0.2},
                },
                "seed": 3,
            },
            "16b423192eff5b96d90c161eab4098dbfdb19e4ee4a9517b7d6a3eddb75d5b07",
        ),
        (
            {
                "data": {"dataset": "mnist", "folds": 3, "fold": 1},
                "model": {"name": "mlp"},
                "method": {"name": "m2m", "preset": "paper"},
                "training": {
                    **{"precision": "bfloat16", "crop_size": 20, "input_scaling": "symmetric"},
                    "schedule": {"kind": "cosine"},
                },
            },
            "2fc535316a48280bee7e63d94571fb0ad360bf6a6b886b73dda2b4035b470371",
        ),
        (
            {
                "data": {"dataset": "cifar100", "protocol": "m2m"},
                "method": {"name": "cot"},
                "training": {
                    "weight_decay": 5e-4,
                    "schedule": {"milestones": [50, 90]},
                    "augmentation": "resized-crop-flip",
                },
            },
            "8747cc741eabcdb32d301c67bbb713e53a3bb08d050c0571bd6e784db19dd470",
        ),
    ],
)
def test_digests_are_those_from_before_there_were_other_optimizers(given: dict[str, Any], digest: str) -> None:
    assert TrialConfig.model_validate(given).fingerprint() == digest
