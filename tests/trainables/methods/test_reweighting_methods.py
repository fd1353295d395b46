"""RW, CB-RW, DRW and DRS as plans and trainings."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trainables.components.losses.cross_entropy import plain_loss
from trainables.core.config import MethodConfig
from trainables.data import load
from trainables.methods.plan import MethodContext, Plan
from trainables.methods.registry import build_params, build_plan
from trainables.training.trainer import Trainer

COUNTS = torch.tensor([90, 40, 9, 1])


def _plan(name: str, counts: torch.Tensor = COUNTS, **values: Any) -> Plan:
    return build_plan(MethodConfig(name=name, params=values), MethodContext(counts, 6))


@pytest.mark.parametrize(
    ("name", "preset", "expected"),
    [
        ("rw", "recommended", {"weighted_over": "weights"}),
        ("rw", "m2m", {"weighted_over": "examples"}),
        ("cb-rw", "paper", {"beta": 0.9999, "weighted_over": "weights"}),
        ("cb-rw", "m2m", {"beta": 0.9999, "weighted_over": "examples"}),
        ("drw", "paper", {"beta": 0.9999, "defer_until": 0.8, "weighted_over": "weights"}),
        ("drw", "m2m", {"beta": 0.9999, "defer_until": 0.8, "weighted_over": "examples"}),
        ("drs", "paper", {"defer_until": 0.8}),
    ],
)
def test_presets(name: str, preset: str, expected: dict[str, Any]) -> None:
    assert build_params(MethodConfig(name=name, preset=preset)).model_dump() == expected


def test_all_of_them_train_with_plain_cross_entropy() -> None:
    for name in ("rw", "cb-rw", "drw", "drs"):
        assert all(stage.loss is plain_loss for stage in _plan(name).stages)


def test_weights_are_the_inverse_counts_scaled_to_the_number_of_classes() -> None:
    weights = _plan("rw").stages[0].class_weights
    inverse = [1 / 90, 1 / 40, 1 / 9, 1.0]
    assert weights is not None
    assert weights.tolist() == pytest.approx([4 * w / sum(inverse) for w in inverse], rel=1e-6)


def test_effective_numbers_go_from_equal_weights_to_inverse_counts() -> None:
    equal, limit = _plan("cb-rw", beta=0.0).stages[0].class_weights, _plan("rw").stages[0].class_weights
    near = _plan("cb-rw", beta=1 - 1e-9).stages[0].class_weights
    assert equal is not None and limit is not None and near is not None
    torch.testing.assert_close(equal, torch.ones(4))
    torch.testing.assert_close(near, limit, rtol=1e-5, atol=0)


def test_balanced_counts_and_a_single_image_give_finite_weights() -> None:
    for counts in (torch.tensor([1, 1]), torch.tensor([10**7, 1])):
        for name in ("rw", "cb-rw", "drw"):
            weights = _plan(name, counts).stages[-1].class_weights
            assert weights is not None and torch.isfinite(weights).all() and float(weights.sum()) == pytest.approx(2)


def test_deferral_begins_at_160_of_200_epochs_with_weights_or_batches_alone() -> None:
    drw, drs = _plan("drw"), _plan("drs")
    for plan in (drw, drs):
        assert [stage.first_epoch(200) for stage in plan.stages] == [0, 160]
        assert plan.stages[0].class_weights is None and plan.stages[0].sampler == "instance"
    assert drw.stages[1].class_weights is not None and drw.stages[1].sampler == "instance"
    assert drs.stages[1].class_weights is None and drs.stages[1].sampler == "class-balanced"


def test_what_the_sum_is_divided_by_reaches_the_stage() -> None:
    for name in ("rw", "cb-rw", "drw"):
        assert _plan(name, weighted_over="examples").stages[-1].weighted_over == "examples"


def test_beta_0_trains_as_erm_does(make_trial: Any) -> None:
    records = []
    for method in (
        MethodConfig(name="erm"),
        MethodConfig(name="cb-rw", params={"beta": 0.0}),
        MethodConfig(name="drw", params={"beta": 0.0}),
    ):
        config = make_trial(epochs=3).model_copy(update={"method": method})
        trainer = Trainer(config, load(config.data), torch.device("cpu"))
        records.append([trainer.run_epoch()["train_loss"] for _ in range(3)])
    assert records[1] == pytest.approx(records[0], rel=1e-4)
    assert records[2] == pytest.approx(records[0], rel=1e-4)
