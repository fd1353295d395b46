from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from search_spaces import SPACES, Choices, Range, Space
from search_spaces.grid import Grid
from study.ledger.study_ledger import Ledger
from study.spec.study_spec import StudySpec
from tests.study.simulated import EPOCHS, finish
from trainables.core.errors import BadInput

MakeSpec = Callable[..., StudySpec]
OpenLedger = Callable[..., Ledger]
THREE = {"gamma": {"low": -50, "high": -0.1, "scale": "log", "grid": [-2, -5, -50]}}


@pytest.mark.parametrize(
    ("dimension", "points", "values"),
    [
        (Range(low=0, high=1), 5, (0, 0.25, 0.5, 0.75, 1)),
        (Range(low=0.01, high=1, scale="log"), 3, (0.01, 0.1, 1)),
        (Range(low=-100, high=-1, scale="log"), 3, (-1, -10, -100)),
        (Range(low=0.9, high=0.999, scale="log-complement"), 3, (0.999, 0.99, 0.9)),
        (Range(low=1, high=20, integer=True), 3, (1, 10, 20)),
        (Range(low=1, high=3, integer=True), 9, (1, 2, 3)),
        (Range(low=0, high=1, grid=(0.3, 0.1)), 5, (0.3, 0.1)),
        (Choices(choices=("a", "b")), 5, ("a", "b")),
    ],
)
def test_the_points_of_a_dimension(dimension: Range | Choices, points: int, values: tuple[Any, ...]) -> None:
    found = dimension.grid_values(points)
    assert found == values if isinstance(values[0], str) else found == pytest.approx(values)


def test_ends_are_exact() -> None:
    for dimension in (d for space in SPACES.values() for d in space.values() if isinstance(d, Range) and not d.grid):
        assert {min(dimension.grid_values(7)), max(dimension.grid_values(7))} == {
            dimension.decode(dimension.encode(dimension.low)),
            dimension.decode(dimension.encode(dimension.high)),
        }


def test_papers_grids_stand_in_the_spaces() -> None:
    cce, affinity = SPACES["cce"]["gamma"], SPACES["affinity"]["sigma"]
    assert cce.grid_values(5) == (-1, -2, -3, -4, -5, -10, -20, -30, -40, -50)
    assert affinity.grid_values(5) == (0.1, 0.5, 1, 5, 10, 20, 50)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grid": [0.5, 2]}, "`grid` must hold from 0 to 1, got 2"),
        ({"grid": [0.5, 0.5]}, "must not name a value twice"),
        ({"grid": [0.5], "integer": True}, "whole numbers from 0 to 1, got 0.5"),
    ],
)
def test_a_grid_lies_in_its_range(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Range(**{"low": 0, "high": 1, **change})


def _study(make_spec: MakeSpec, methods: list[Any], **search: Any) -> StudySpec:
    plan = {"trials": 40, "pruner": "none", "searcher": "grid", **search}
    return make_spec(methods=methods, training={"epochs": EPOCHS, "lr": 0.05}, search=plan)


def test_every_point_is_tried_once_after_the_presets_setting(make_spec: MakeSpec, open_ledger: OpenLedger) -> None:
    lr = {"lr": {"low": 0.01, "high": 1, "scale": "log"}}
    ledger = open_ledger(_study(make_spec, [{"name": "cce", "search": THREE}], training=lr, grid_points=3))
    handed = [(a.params["gamma"], round(a.params["training.lr"], 6)) for a in finish(ledger)]
    assert handed[0] == (-1, 0.05)
    assert sorted(handed[1:]) == sorted((gamma, lr) for gamma in (-2, -5, -50) for lr in (0.01, 0.1, 1))
    assert handed[1:] != sorted(handed[1:])
    assert ledger.remaining() == 0
    assert "the end of the grid" in ledger.why_finished()


def test_a_preset_on_the_grid_is_one_of_its_points(make_spec: MakeSpec, open_ledger: OpenLedger) -> None:
    handed = finish(open_ledger(_study(make_spec, ["cce"])))
    assert len(handed) == 10
    assert {a.params["gamma"] for a in handed} == set(SPACES["cce"]["gamma"].grid_values(5))


def test_a_cell_in_which_nothing_is_searched_repeats_its_seeds(make_spec: MakeSpec, open_ledger: OpenLedger) -> None:
    assert len(finish(open_ledger(_study(make_spec, ["erm"], trials=3)))) == 3


def test_seeds_draw_the_order() -> None:
    space = {"x": Range(low=0, high=1)}
    assert len({math.floor(Grid(space, 50, seed).untried([])["x"] * 49) for seed in range(9)}) > 4


def test_points_that_are_one_value_are_one_point() -> None:
    narrow: Space = {"gamma": Range(low=0.5, high=math.nextafter(0.5, 1)), "scale": Range(low=1, high=2)}
    assert Grid(narrow, 50).size == 2 * 50


def test_a_grid_without_end_is_refused(make_spec: MakeSpec) -> None:
    with pytest.raises(BadInput) as caught:
        _study(make_spec, ["affinity"], grid_points=100)
    for part in ("tiny.yaml: search.searcher", "affinity has 1400000 points", "at most 100000", "search.grid_points"):
        assert part in str(caught.value)
