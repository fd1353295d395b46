"""What the methods on cosines are composed of: presets, stages, noise in training alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.components.class_weights import effective_number
from trainables.components.heads import CosineHead, LinearHead, ScaledCosineHead
from trainables.components.losses.clouded_logits import cloud_noise, cloud_sizes, gaussian_clouded_loss
from trainables.components.losses.cost_scaled_softmax import cost_scaled_loss, frequency_costs
from trainables.components.losses.label_aware_margin import class_margins, enlarged_margin_loss, ldam_loss
from trainables.components.losses.maximum_margin import maximum_margin_loss
from trainables.components.network import Outputs
from trainables.core.config import MethodConfig
from trainables.methods.plan import MethodContext, Plan
from trainables.methods.registry import METHODS, build_params, build_plan, prefix_of

COUNTS = torch.tensor([90, 40, 9, 1])
Z = 2 * torch.rand(12, 4, generator=torch.Generator().manual_seed(0)) - 1
Y = torch.arange(12) % 4


def _plan(name: str, preset: str = "recommended", counts: Tensor = COUNTS, **values: Any) -> Plan:
    return build_plan(MethodConfig(name=name, preset=preset, params=values), MethodContext(counts, 6))


def _losses(plan: Plan, stage: int = 0) -> Tensor:
    return plan.stages[stage].loss(Outputs(torch.zeros(12, 6), Z), Y)


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("elm", "recommended", {"max_margin": 0.5, "scale": 30.0, "lam": 0.5, "own_margin": True}),
        ("elm", "paper", {"max_margin": 0.5, "scale": 30.0, "lam": 1.0, "own_margin": True}),
        ("elm", "no-own-margin", {"lam": 1.0, "own_margin": False}),
        ("elm-drw", "recommended", {"lam": 0.5, "own_margin": True, "beta": 0.9999, "defer_until": 0.8}),
        ("elm-drw", "paper", {"lam": 1.0, "own_margin": True, "beta": 0.9999, "defer_until": 0.8}),
        ("elm-drw", "no-own-margin", {"own_margin": False, "defer_until": 0.8}),
        ("mm-ldam", "paper", {"variant": "mm-ldam", "max_margin": 1.29, "gamma": 1.528, "scale": 26.0}),
        ("mm-ldam", "mm", {"variant": "mm", "max_margin": 1.29, "gamma": 1.528, "scale": 19.0}),
        ("gcl", "paper", {"margin": 0.5, "noise": 1.0, "noise_on": "target", "scale": 30.0}),
        ("gcl", "official", {"margin": 0.0, "noise": 0.5, "noise_on": "all", "scale": 30.0}),
        ("fslwf", "paper", {"initial_scale": 10.0}),
        ("ldam-drs", "paper", {"max_margin": 0.5, "scale": 30.0, "defer_until": 0.8}),
    ],
)
def test_presets(name: str, preset: str, expected: dict[str, Any]) -> None:
    values = build_params(MethodConfig(name=name, preset=preset)).model_dump()
    assert {key: values[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["elm", "elm-drw"])
@pytest.mark.parametrize("own_margin", [True, False])
def test_elm_has_its_loss_in_every_stage(name: str, own_margin: bool) -> None:
    plan, margins = _plan(name, lam=0.5, own_margin=own_margin), class_margins(COUNTS, 0.5)
    expected = enlarged_margin_loss(Z, Y, margins=margins, scale=30.0, lam=0.5, own_margin=own_margin)
    assert type(plan.head) is CosineHead
    for stage in range(len(plan.stages)):
        assert torch.equal(_losses(plan, stage), expected)


def test_elm_drw_weighs_in_its_last_stage_alone() -> None:
    first, last = _plan("elm-drw", beta=0.99).stages
    assert first.class_weights is None
    assert last.class_weights is not None
    assert torch.equal(last.class_weights, effective_number(COUNTS, 0.99).float())
    assert last.weighted_over == "weights"


def test_ldam_drs_samples_evenly_in_its_last_stage_alone() -> None:
    plan = _plan("ldam-drs")
    assert [stage.sampler for stage in plan.stages] == ["instance", "class-balanced"]
    expected = ldam_loss(Z, Y, margins=class_margins(COUNTS, 0.5), scale=30.0)
    assert torch.equal(_losses(plan, 0), expected) and torch.equal(_losses(plan, 1), expected)


@pytest.mark.parametrize(("name", "shared_prefix"), [("ldam-drw", "ldam"), ("ldam-drs", "ldam"), ("elm-drw", "elm")])
def test_a_shared_prefix_takes_every_param_of_the_method_it_repeats(name: str, shared_prefix: str) -> None:
    given = {"max_margin": 0.25, "scale": 10.0, "lam": 0.75, "own_margin": False}
    known = {key: value for key, value in given.items() if key in METHODS[shared_prefix].params.model_fields}
    config = prefix_of(MethodConfig(name=name, params=known))
    assert config is not None
    assert (config.name, config.params) == (shared_prefix, known)


@pytest.mark.parametrize(("variant", "with_label_margins"), [("mm-ldam", 1.0), ("mm", 0.0)])
def test_maximum_margins_are_shifted_by_those_of_ldam_or_not(variant: str, with_label_margins: float) -> None:
    limits = 1.29 - with_label_margins * class_margins(COUNTS, 0.5)
    expected = maximum_margin_loss(Z, Y, limits=limits.float(), gamma=1.528, scale=26.0)
    torch.testing.assert_close(_losses(_plan("mm-ldam", variant=variant)), expected)


def test_clouds_are_there_in_training_alone() -> None:
    plan = _plan("gcl")
    plan.head.train()
    torch.manual_seed(0)
    noisy = _losses(plan)
    torch.manual_seed(0)
    clouds = cloud_sizes(COUNTS).float() * cloud_noise(Z)
    assert torch.equal(noisy, gaussian_clouded_loss(Z, Y, clouds=clouds, margin=0.5, scale=30.0))
    assert not torch.equal(noisy, _losses(plan))
    plan.head.eval()
    before = torch.get_rng_state()
    clear = gaussian_clouded_loss(Z, Y, clouds=torch.zeros(1, 4), margin=0.5, scale=30.0)
    assert torch.equal(_losses(plan), clear)
    assert torch.equal(torch.get_rng_state(), before)  # an evaluation draws nothing


def test_the_official_clouds_lower_every_class() -> None:
    plan = _plan("gcl", "official")
    torch.manual_seed(0)
    found = _losses(plan)
    torch.manual_seed(0)
    clouds = 0.5 * cloud_sizes(COUNTS).float() * cloud_noise(Z)
    assert torch.equal(found, gaussian_clouded_loss(Z, Y, clouds=clouds, margin=0.0, scale=30.0, all_classes=True))


def test_balanced_classes_have_no_clouds_in_training() -> None:
    plan = _plan("gcl", counts=torch.full((4,), 5))
    assert plan.head.training
    assert torch.equal(_losses(plan), _losses(plan))


def test_fslwf_is_cross_entropy_on_a_learned_scale() -> None:
    head = _plan("fslwf", initial_scale=4.0).head
    assert isinstance(head, ScaledCosineHead)
    assert head.scale.item() == 4.0 and head.scale.requires_grad


def test_cosen_scales_by_costs_of_the_counts() -> None:
    plan = _plan("cosen")
    assert type(plan.head) is LinearHead
    torch.testing.assert_close(_losses(plan), cost_scaled_loss(Z, Y, costs=frequency_costs(COUNTS)))


@pytest.mark.parametrize("name", ["gcl", "fslwf", "cosen"])
def test_what_is_left_out_is_said(name: str) -> None:
    assert METHODS[name].given_in_part
