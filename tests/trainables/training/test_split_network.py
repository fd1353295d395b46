"""One trial trained by several processes: equal to one process with the same batches, to rounding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainables.training.split_trainings import Found, norm_alone, norm_split, train_alone, train_split
from trainables.core.config import TrialConfig
from trainables.methods.registry import METHODS

MakeTrial = Callable[..., TrialConfig]

SEVERAL = ("erm", "ldam-drw", "elm", "affinity", "offset", "m2m")
"""Class weights and stages, batch-wise normalisation, a calibrated head, centres, a transform with a reference."""


def test_two_workers_equal_one_to_rounding_and_each_other_exactly(make_trial: MakeTrial, tmp_path: Path) -> None:
    recipe = {"clip_norm": 0.5, "ema": 0.9, "layer_decay": 0.6}
    _check([*(make_trial(name, epochs=3) for name in SEVERAL), make_trial(epochs=3, **recipe)], 2, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_every_method_can_be_split(make_trial: MakeTrial, tmp_path: Path, count: int) -> None:
    # a rate at which no training explodes: one that does multiplies rounding, too
    _check([make_trial(name, epochs=3, lr=0.005) for name in METHODS], count, tmp_path)


@pytest.mark.slow
def test_a_last_batch_may_have_fewer_images_than_there_are_workers(make_trial: MakeTrial, tmp_path: Path) -> None:
    # 454 images in batches of 113 leave one of two images
    _check([make_trial(name, epochs=2, batch_size=113) for name in ("erm", "m2m", "center")], 4, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet20", "timm/test_efficientnet"])
def test_batch_norm_takes_the_statistics_of_the_whole_batch(tmp_path: Path, network: str) -> None:
    if network.startswith("timm/"):
        pytest.importorskip("timm")
    # in double precision: single-precision gradients of a deep network with BatchNorm differ by percents themselves
    alone = norm_alone(network)
    for split in norm_split(3, tmp_path, network):
        for name, expected in alone.items():
            assert torch.allclose(split[name], expected, rtol=1e-9, atol=1e-12), name


def _check(configs: list[TrialConfig], count: int, folder: Path) -> None:
    split = train_split(configs, count, folder)
    for config, workers in zip(configs, split, strict=True):
        alone = train_alone(config)
        for worker in workers[1:]:
            _same(worker, workers[0], config.method.name)
        for found, expected in zip(workers[0]["records"], alone["records"], strict=True):
            _close(_timeless(found), _timeless(expected), config.method.name)
        for part in ("backbone", "head", "memory"):
            _close(workers[0]["state"][part], alone["state"][part], f"{config.method.name} {part}")


def _timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != "images_per_second"}


def _same(found: Found, expected: Found, where: str) -> None:
    assert list(map(_timeless, found["records"])) == list(map(_timeless, expected["records"])), where
    for part in ("backbone", "head", "memory"):
        assert all(
            torch.equal(found["state"][part][name], expected["state"][part][name]) for name in found["state"][part]
        )


def _close(found: dict[str, Any], expected: dict[str, Any], where: str) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, Tensor):
            assert torch.allclose(found[name], value, rtol=2e-3, atol=2e-5), f"{where} {name}"
        elif isinstance(value, dict):
            _close(found[name], value, f"{where} {name}")
        elif isinstance(value, str):
            assert found[name] == value, f"{where} {name}"
        else:
            assert found[name] == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True), f"{where} {name}"
