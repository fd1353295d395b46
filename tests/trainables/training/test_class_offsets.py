from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from trainables.components.heads import LinearHead, MemoryHead, ScaledHead
from trainables.components.heads.offset_head import OffsetHead
from trainables.core.config import TrialConfig
from trainables.data import load
from trainables.training.class_offsets import class_offsets, is_linear
from trainables.training.trainer import Trainer

MakeTrial = Callable[..., TrialConfig]


def trained(make_trial: MakeTrial, method: str) -> Trainer:
    config = make_trial(method, epochs=1)
    trainer = Trainer(config, load(config.data))
    trainer.run_epoch()
    return trainer


def means_by_hand(trainer: Trainer) -> np.ndarray:
    """Average features image by image, per class, in float64."""
    trainer.network.eval()
    data, sums = trainer.data, np.zeros((10, trainer.plan.head.feature_dim))
    for image, label in zip(data.train.images, data.train.labels.tolist(), strict=True):
        pixels = (image.unsqueeze(0).float() / 255 - data.mean[0]) / data.std[0]
        with torch.no_grad():
            sums[label] += trainer.network.backbone(pixels).double().numpy()[0]
    return np.asarray(sums / data.class_counts.double().unsqueeze(1).numpy())


@pytest.mark.parametrize("method", ["erm", "offset", "empirical-offset"])
def test_offsets_are_those_computed_by_hand(make_trial: MakeTrial, method: str) -> None:
    trainer = trained(make_trial, method)
    head, found = trainer.plan.head, class_offsets(trainer)
    assert found is not None
    means, weight = means_by_hand(trainer), head.get_parameter("weight").detach().double().numpy()
    by_hand = [0.5 * sum(m * w for m, w in zip(means[k], weight[k], strict=True)) for k in range(10)]
    assert found["empirical"] == pytest.approx(by_hand, rel=1e-4, abs=1e-5)
    if method == "erm":
        assert found["trained"] == pytest.approx(head.get_parameter("bias").tolist()) and any(found["trained"])
    else:
        assert found["trained"] is None
    if method == "offset":
        centers = head.get_buffer("centers").double().numpy()
        assert found["estimated"] == pytest.approx([0.5 * float(centers[k] @ weight[k]) for k in range(10)], rel=1e-4)
        assert found["estimated"] != pytest.approx(found["empirical"], rel=1e-3)
    else:
        assert found["estimated"] is None


def test_the_prior_is_that_of_the_training_images(make_trial: MakeTrial) -> None:
    found = class_offsets(trained(make_trial, "erm"))
    assert found is not None and found["epoch"] == 1
    total = sum(found["class_counts"])
    assert found["log_prior"] == pytest.approx([math.log(n / total) for n in found["class_counts"]])
    assert len(found["class_names"]) == 10


def test_a_scaled_head_is_recorded_with_its_scaled_rows(make_trial: MakeTrial) -> None:
    trainer = trained(make_trial, "erm")
    linear = trainer.plan.head
    scaled = ScaledHead(linear.feature_dim, 10)
    scaled.load_state_dict({**linear.state_dict(), "scale": torch.arange(10.0)})
    before = class_offsets(trainer)
    trainer.network.head = scaled
    after = class_offsets(trainer)
    assert before is not None and after is not None
    for kind in ("trained", "empirical"):
        assert after[kind] == pytest.approx([k * value for k, value in enumerate(before[kind])], abs=1e-6)


@pytest.mark.parametrize("method", ["affinity", "oltr"])
def test_heads_that_are_not_linear_have_no_offsets(make_trial: MakeTrial, method: str) -> None:
    assert class_offsets(trained(make_trial, method)) is None


def test_a_head_derived_from_a_linear_one_need_not_be_linear() -> None:
    assert is_linear(LinearHead(3, 2)) and is_linear(ScaledHead(3, 2)) and is_linear(OffsetHead(3, 2))
    assert not is_linear(MemoryHead(3, 2))
