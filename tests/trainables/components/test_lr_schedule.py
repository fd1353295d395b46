from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.components.lr_schedule import ineffective_milestones, learning_rate, milestone_epoch, over_a_stage
from trainables.core.config import ScheduleConfig

LDAM = ScheduleConfig(kind="step", milestones=(0.8, 0.9), factor=0.01, warmup=0.025)
CCE = ScheduleConfig(kind="step", milestones=(0.3, 0.6, 0.8), factor=0.5, warmup=0.025)


def test_ldam_recipe() -> None:
    rates = [learning_rate(LDAM, 0.1, epoch, 200) for epoch in range(200)]
    assert rates[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert rates[4:160] == [0.1] * 156
    assert rates[160:180] == pytest.approx([0.001] * 20)
    assert rates[180:] == pytest.approx([0.00001] * 20)


def test_cce_recipe() -> None:
    rates = [learning_rate(CCE, 0.1, epoch, 200) for epoch in range(200)]
    falls = [epoch for epoch in range(5, 200) if rates[epoch] < rates[epoch - 1]]
    assert falls == [60, 120, 160]
    assert rates[-1] == pytest.approx(0.1 / 8)


@settings(deadline=None)
@given(hundredths=st.integers(1, 99), epochs=st.integers(1, 100_000))
def test_milestones_fall_where_exact_arithmetic_says(hundredths: int, epochs: int) -> None:
    assert milestone_epoch(hundredths / 100, epochs) == -(-hundredths * epochs // 100)


@pytest.mark.parametrize(
    ("fraction", "epochs", "epoch"), [(0.8, 200, 160), (0.9, 200, 180), (0.7, 10, 7), (0.07, 100, 7)]
)
def test_milestones_are_free_of_rounding(fraction: float, epochs: int, epoch: int) -> None:
    schedule = ScheduleConfig(kind="step", milestones=(fraction,), factor=0.5, warmup=0)
    assert learning_rate(schedule, 1.0, epoch - 1, epochs) == 1.0
    assert learning_rate(schedule, 1.0, epoch, epochs) == 0.5


def test_cosine_starts_at_base_and_nears_0() -> None:
    schedule = ScheduleConfig(kind="cosine", warmup=0)
    rates = [learning_rate(schedule, 0.2, epoch, 90) for epoch in range(90)]
    assert rates[0] == 0.2
    assert rates[45] == pytest.approx(0.1)
    assert rates == sorted(rates, reverse=True)
    assert rates[89] == pytest.approx(0.1 * (1 + math.cos(math.pi * 89 / 90)))


def test_constant_ignores_milestones() -> None:
    schedule = ScheduleConfig(kind="constant", warmup=0)
    assert {learning_rate(schedule, 0.3, epoch, 7) for epoch in range(7)} == {0.3}


@pytest.mark.parametrize("kind", ["step", "cosine", "constant"])
def test_warmup_multiplies_every_kind(kind: str) -> None:
    warm = ScheduleConfig(kind=kind, warmup=0.4)
    cold = ScheduleConfig(kind=kind, warmup=0)
    shares = [learning_rate(warm, 1.0, e, 10) / learning_rate(cold, 1.0, e, 10) for e in range(10)]
    assert shares == pytest.approx([0.25, 0.5, 0.75] + [1.0] * 7)


@settings(deadline=None)
@given(warmup=st.floats(0, 0.99), epoch=st.integers(0, 49))
def test_rate_is_never_0_and_never_above_base(warmup: float, epoch: int) -> None:
    for kind in ("step", "cosine", "constant"):
        assert 0 < learning_rate(ScheduleConfig(kind=kind, warmup=warmup), 0.1, epoch, 50) <= 0.1


def test_a_warmup_shorter_than_an_epoch_is_none() -> None:
    assert learning_rate(ScheduleConfig(warmup=0.025), 0.1, 0, 6) == 0.1


def test_whole_epochs_give_the_rates_of_their_fractions() -> None:
    whole = CCE.model_copy(update={"milestones": (60, 120, 160)})
    assert [learning_rate(whole, 0.1, e, 200) for e in range(200)] == [
        learning_rate(CCE, 0.1, e, 200) for e in range(200)
    ]
    stage = over_a_stage(whole, 200)
    assert [learning_rate(stage, 0.1, e, 20) for e in range(20)] == [learning_rate(CCE, 0.1, e, 20) for e in range(20)]


@pytest.mark.parametrize(
    ("milestones", "epochs", "late"),
    [((0.8, 0.9), 10, []), ((0.8, 0.9), 5, [0.9]), ((0.8, 0.9), 2, [0.8, 0.9]), ((4, 9), 10, []), ((0.9,), 1, [0.9])],
)
def test_milestones_in_the_last_epoch_have_no_effect(
    milestones: tuple[float, ...], epochs: int, late: list[float]
) -> None:
    schedule = ScheduleConfig(milestones=milestones, factor=0.5, warmup=0)
    assert ineffective_milestones(schedule, epochs) == late
    reached = learning_rate(schedule, 1.0, epochs - 1, epochs)
    assert reached == 0.5 ** (len(milestones) - len(late))
    assert ineffective_milestones(schedule.model_copy(update={"kind": "cosine"}), epochs) == []
