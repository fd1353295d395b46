from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.components.heads import LinearHead
from trainables.components.lr_schedule import stage_start
from trainables.components.network import Outputs
from trainables.methods.plan import Plan, Stage


def _loss(outputs: Outputs, labels: Tensor) -> Tensor:
    return outputs.logits.sum(dim=1)


def _plan(*starts: float) -> Plan:
    return Plan(LinearHead(2, 3), tuple(Stage(f"stage {i}", start, _loss) for i, start in enumerate(starts)))


@pytest.mark.parametrize(
    ("fraction", "epochs", "start"),
    [
        *((0.0, 10, 0), (0.8, 200, 160), (0.8, 10, 8), (0.7, 10, 7), (0.8, 7, 6)),
        *((0.5, 5, 3), (0.8, 2, 1), (0.8, 1, 0), (0.99, 3, 2), (0.1, 30, 3)),
    ],
)
def test_where_a_stage_begins(fraction: float, epochs: int, start: int) -> None:
    assert stage_start(fraction, epochs) == start


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 1000))
def test_every_stage_has_an_epoch_and_none_begins_before_its_share(fraction: float, epochs: int) -> None:
    start = stage_start(fraction, epochs)
    assert 0 <= start <= epochs - 1
    assert start >= min(fraction * epochs, epochs - 1) - 1e-6


def test_the_stage_of_every_epoch() -> None:
    plan = _plan(0.0, 0.5, 0.8)
    names = [plan.stage_at(epoch, 10).name for epoch in range(10)]
    assert names == ["stage 0"] * 5 + ["stage 1"] * 3 + ["stage 2"] * 2


def test_a_single_stage_is_that_of_every_epoch() -> None:
    plan = _plan(0.0)
    assert {plan.stage_at(epoch, 3) for epoch in range(3)} == {plan.stages[0]}


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_short_budget_ends_in_the_last_stage(epochs: int) -> None:
    assert _plan(0.0, 0.8).stage_at(epochs - 1, epochs).name == "stage 1"


def test_a_stage_changes_nothing_unless_told() -> None:
    stage = Stage("plain", 0.0, _loss)
    assert stage.sampler == "instance"
    assert stage.class_weights is None
    assert torch.equal(stage.loss(Outputs(torch.zeros(1), torch.ones(2, 3)), torch.zeros(2)), torch.full((2,), 3.0))
