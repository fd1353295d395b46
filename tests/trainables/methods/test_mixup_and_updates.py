from __future__ import annotations

from typing import Any

import pytest
import torch

from search_spaces import SPACES
from trainables.components.class_weights import effective_number
from trainables.core.config import MethodConfig
from trainables.methods.plan import MethodContext
from trainables.methods.registry import METHODS, build_params, build_plan

COUNTS = torch.tensor([90, 40, 9, 1])


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("mixup", "recommended", {"alpha": 1.0}),
        ("mixup", "imagenet", {"alpha": 0.2}),
        ("mixup-drw", "recommended", {"alpha": 1.0, "beta": 0.9999, "defer_until": 0.8, "mixing": "opening"}),
        ("mixup-drw", "throughout", {"mixing": "throughout"}),
        ("remix", "paper", {"alpha": 1.0, "kappa": 3.0, "tau": 0.5}),
        ("smote", "paper", {"neighbours": 5}),
        ("cot", "recommended", {"variant": "paper", "rate_factor": 1.0}),
        ("cot", "official", {"variant": "official", "rate_factor": 1.0}),
        ("sam", "paper", {"rho": 0.05}),
        ("sam", "long-tail", {"rho": 0.1}),
        ("sam-drw", "paper", {"rho": 0.5, "beta": 0.9999, "defer_until": 0.8}),
        ("sam-drw", "long-tail-100", {"rho": 0.8}),
    ],
)
def test_presets_are_those_of_the_sources(name: str, preset: str, expected: dict[str, Any]) -> None:
    values = build_params(MethodConfig(name=name, preset=preset))
    assert {field: getattr(values, field) for field in expected} == expected


@pytest.mark.parametrize("name", ["sam", "sam-drw"])
def test_rho_is_searched_where_long_tails_were(name: str) -> None:
    rho: Any = SPACES[name]["rho"]
    assert (rho.low, rho.high, rho.scale) == (0.05, 0.8, "log")


@pytest.mark.parametrize("name", ["mixup-drw", "sam-drw"])
def test_deferred_stages_weigh_by_the_effective_number(name: str) -> None:
    shared_prefix, deferred = build_plan(MethodConfig(name=name), MethodContext(COUNTS, 6)).stages
    assert shared_prefix.class_weights is None
    assert deferred.class_weights is not None
    assert torch.equal(deferred.class_weights, effective_number(COUNTS, 0.9999).float())
    assert deferred.weighted_over == "weights"
    assert METHODS[name].defer_field == "defer_until"


def test_sam_drw_goes_on_sharpness_aware() -> None:
    shared_prefix, deferred = build_plan(MethodConfig(name="sam-drw"), MethodContext(COUNTS, 6)).stages
    assert type(deferred.update) is type(shared_prefix.update)


def test_smote_draws_classes_evenly() -> None:
    (stage,) = build_plan(MethodConfig(name="smote"), MethodContext(COUNTS, 6)).stages
    assert stage.sampler == "class-balanced"
