"""The table itself; what every method must do stands in tests/contract."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.components.heads import CosineHead, LinearHead, PrototypeHead
from trainables.core.config import MethodConfig
from trainables.core.errors import BadInput
from trainables.methods.plan import MethodContext
from trainables.methods.registry import METHODS, build_params, build_plan, last_stage_start, method_named

COUNTS = torch.tensor([90, 40, 9, 1])


def _values(name: str, **given: Any) -> Any:
    return build_params(MethodConfig(name=name, **given))


def test_the_methods_are_these() -> None:
    assert set(METHODS) >= {"erm", "cce", "focal", "ldam", "ldam-drw", "balanced-softmax", "rs", "affinity"}


def test_an_unknown_method_gets_the_nearest_name() -> None:
    with pytest.raises(BadInput, match="unknown method 'lddam'; did you mean 'ldam'"):
        method_named("lddam")


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("cce", "recommended", {"gamma": -1.0, "variant": "paper"}),
        ("cce", "paper", {"gamma": -1.0, "variant": "paper"}),
        ("cce", "official", {"gamma": -1.0, "variant": "official"}),
        ("focal", "recommended", {"gamma": 2.0}),
        ("focal", "recommended", {"alpha": 1.0}),
        ("focal", "cce-paper", {"gamma": 2.0, "alpha": 0.25}),
        ("cot", "joint", {"variant": "joint", "rate_factor": 1.0}),
        ("focal", "ldam-paper", {"gamma": 1.0}),
        ("ldam", "recommended", {"max_margin": 0.5, "scale": 30.0}),
        ("ldam-drw", "recommended", {"max_margin": 0.5, "scale": 30.0, "beta": 0.9999, "defer_until": 0.8}),
        ("affinity", "recommended", {"margin": 0.3, "sigma_unit": "median", "diversity_weight": 1.0}),
        ("affinity", "paper", {"sigma": 10.0, "sigma_unit": "absolute", "diversity_weight": 1.0}),
    ],
)
def test_presets_are_those_of_the_sources(name: str, preset: str, expected: dict[str, Any]) -> None:
    values = _values(name, preset=preset)
    assert {field: getattr(values, field) for field in expected} == expected


def test_what_is_set_by_hand_wins_over_the_preset() -> None:
    assert _values("affinity", preset="paper", params={"sigma": 5}).sigma == 5
    assert _values("affinity", preset="paper", params={"sigma": 5}).sigma_unit == "absolute"


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("cce", {"gamma": 1.0}, "cce: `gamma` must be less than 0, got 1.0"),
        ("cce", {"gamma": 0}, "`gamma` must be less than 0, got 0"),
        ("cce", {"gamma": float("-inf")}, "`gamma` must be a finite number"),
        ("cce", {"variant": "oficial"}, "`variant` must be 'paper' or 'official', got 'oficial'"),
        ("focal", {"alpha": 0}, "`alpha` must be greater than 0, got 0"),
        ("focal", {"gamma": -0.1}, "`gamma` must be greater than or equal to 0, got -0.1"),
        ("ldam", {"max_margin": 0}, "`max_margin` must be greater than 0, got 0"),
        ("ldam", {"scale": -1}, "`scale` must be greater than 0"),
        ("ldam", {"beta": 0.9}, "unknown key 'beta'"),
        ("ldam-drw", {"beta": 1}, "`beta` must be less than 1, got 1"),
        ("ldam-drw", {"defer_until": 1}, "`defer_until` must be less than 1"),
        ("ldam-drw", {"defer_until": 0, "scale": "x"}, "`scale` must be a valid number"),
        ("affinity", {"prototypes": 0}, "`prototypes` must be greater than or equal to 1"),
        ("affinity", {"prototypes": 2.5}, "`prototypes` must be a valid integer"),
        ("affinity", {"sigma": 0}, "`sigma` must be greater than 0"),
        ("erm", {"gamma": -1}, "unknown key 'gamma'"),
    ],
)
def test_values_out_of_their_range_are_refused(name: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as caught:
        _values(name, params=given)
    assert said in str(caught.value)


def test_every_fault_is_said_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        _values("ldam-drw", params={"max_margin": 0, "beta": 2})
    assert "`max_margin`" in str(caught.value)
    assert "`beta`" in str(caught.value)


def test_an_unknown_preset_gets_the_nearest_name() -> None:
    with pytest.raises(BadInput, match="unknown preset of cce 'oficial'; did you mean 'official'"):
        _values("cce", preset="oficial")


def test_the_last_switch_is_the_deferral() -> None:
    assert last_stage_start(MethodConfig(name="ldam")) == 0
    assert last_stage_start(MethodConfig(name="ldam-drw")) == 0.8
    assert last_stage_start(MethodConfig(name="ldam-drw", params={"defer_until": 0.25})) == 0.25


@pytest.mark.parametrize(
    ("name", "head"), [("erm", LinearHead), ("ldam", CosineHead), ("ldam-drw", CosineHead), ("affinity", PrototypeHead)]
)
def test_heads(name: str, head: type) -> None:
    assert isinstance(build_plan(MethodConfig(name=name), MethodContext(COUNTS, 6)).head, head)


def test_deferred_weights_rise_as_classes_get_smaller() -> None:
    plain, deferred = build_plan(MethodConfig(name="ldam-drw"), MethodContext(COUNTS, 6)).stages
    assert plain.class_weights is None
    assert deferred.class_weights is not None
    assert deferred.class_weights.tolist() == sorted(deferred.class_weights.tolist())
    assert deferred.weighted_over == "weights"
