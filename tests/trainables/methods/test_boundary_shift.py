"""The nats by which margins move a boundary: where the loss of a rare and of a frequent example are equal."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from trainables.components.network import Outputs
from trainables.core.config import MethodConfig
from trainables.methods.boundary_shift import excessive
from trainables.methods.plan import MethodContext
from trainables.methods.registry import METHODS, build_params, build_plan


def _shift(name: str, ratio: float, preset: str = "recommended", **params: Any) -> float:
    config = MethodConfig(name=name, preset=preset, params=params)
    computed = METHODS[name].boundary_shift
    assert computed is not None
    return computed(build_params(config), ratio)


@pytest.mark.parametrize(
    ("name", "params", "scale"),
    [
        ("ldam", {}, 30.0),
        ("ldam-drw", {"scale": 10.0, "max_margin": 0.8}, 10.0),
        ("ldam-drs", {}, 30.0),
        ("m2m-ldam", {"scale": 13.0}, 13.0),
        ("elm", {}, 30.0),
        ("elm", {"lam": 1.2, "scale": 13.0}, 13.0),
        ("elm-drw", {"own_margin": False}, 30.0),
        ("balanced-softmax", {}, 1.0),
        ("logit-adjustment", {"tau": 1.7}, 1.0),
        ("vs", {"gamma": 0.0}, 1.0),
    ],
)
@pytest.mark.parametrize("ratio", [10, 100])
def test_both_classes_lose_alike_at_the_shifted_boundary(
    name: str, params: dict[str, Any], scale: float, ratio: int
) -> None:
    torch.manual_seed(0)
    counts = torch.tensor([7 * ratio, 7])
    plan = build_plan(MethodConfig(name=name, params=params), MethodContext(counts, 3))
    shift = _shift(name, ratio, **params)
    gap = shift / scale
    logits = torch.tensor([[0.0, gap], [0.0, gap]], dtype=torch.float64)
    frequent, rare = plan.stages[0].loss(Outputs(torch.zeros(2, 3), logits), torch.tensor([0, 1])).tolist()
    assert shift > 0
    assert frequent == pytest.approx(rare, abs=1e-5)


def test_the_published_settings_at_a_ratio_of_100() -> None:
    assert _shift("elm", 100, "paper") == pytest.approx(10.26, abs=0.01)
    assert _shift("elm", 100) == pytest.approx(7.69, abs=0.01)
    assert _shift("ldam", 100) == pytest.approx(5.13, abs=0.01)
    assert _shift("elm", 100, lam=0) == _shift("ldam", 100)
    assert _shift("logit-adjustment", 100, tau=1) == _shift("balanced-softmax", 100) == math.log(100)


def test_margins_of_mm_ldam_are_those_at_a_gap_of_zero() -> None:
    rare, frequent = math.exp(-(1.29 - 0.5)), math.exp(-(1.29 - 0.5 / 100**0.25))
    assert _shift("mm-ldam", 100) == pytest.approx(26 * (rare - frequent) / 2)
    assert _shift("mm-ldam-drw", 100) == _shift("mm-ldam", 100)
    assert _shift("mm-ldam", 100, "mm") == 0


def test_balanced_classes_have_no_shift_and_no_warning() -> None:
    for name, method in METHODS.items():
        if method.boundary_shift is not None:
            assert _shift(name, 1.0) == 0
            assert not excessive(_shift(name, 1.0), 1.0)


def test_twice_the_log_of_the_ratio_is_the_limit() -> None:
    assert excessive(_shift("elm", 100, "paper"), 100) and not excessive(_shift("elm", 100), 100)
    assert excessive(_shift("logit-adjustment", 50, tau=2.1), 50)
    assert not excessive(_shift("logit-adjustment", 50, tau=2), 50)
