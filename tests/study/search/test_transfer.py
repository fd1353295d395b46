from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.encoding import encode
from study.ledger.study_ledger import Ledger
from study.search.transfer import MOST_TRANSFERS, STARTED_UP, neighbours
from study.spec.cell import Cell, expand
from study.spec.study_spec import StudySpec
from tests.study.simulated import EPOCHS, ends_the_same_killed_after_any_write, finish, param_sources, train

MakeSpec = Callable[..., StudySpec]
OpenLedger = Callable[..., Ledger]
SEARCHED = {"gamma": {"low": -50, "high": -0.1, "scale": "log"}}


def _data(*ratios: float, **changes: Any) -> dict[str, Any]:
    return {"dataset": "digits", "profiles": [{"ratio": list(ratios)}], **changes}


@pytest.fixture
def spec(make_spec: MakeSpec) -> MakeSpec:
    def make(*ratios: float, data: list[dict[str, Any]] | None = None, methods: Any = None, **search: Any) -> StudySpec:
        return make_spec(
            data=data or [_data(*ratios)],
            methods=methods or [{"name": "cce", "search": SEARCHED}],
            training={"epochs": EPOCHS},
            search={"trials": 6, "pruner": "none", "searcher": "random", **search},
        )

    return make


def _cell(ratio: float, dataset: str = "digits", method: str = "cce", kind: str = "long_tail") -> str:
    return f"{dataset}/{kind}-{ratio:g}/{method}"


def _complete(ledger: Ledger, name: str, *values: float) -> None:
    for value in values:
        cell = ledger.cells[name]
        train(ledger, cell.ask(), value)


def _ask(ledger: Ledger, name: str) -> str:
    """Hand out a cell's next trial and return the source of its params."""
    cell = ledger.cells[name]
    train(ledger, cell.ask(ledger._suggestion(cell.cell)))
    return param_sources(ledger, name)[-1]


def test_the_nearest_neighbours_come_first(spec: MakeSpec) -> None:
    data = [
        _data(10, 20, 50, 100),
        {"dataset": "digits", "label": "other", "profiles": [{"ratio": [50, 10]}]},
        {"dataset": "digits", "label": "steps", "profiles": [{"kind": "step", "ratio": 50}, {"ratio": 50}]},
    ]
    cells = expand(spec(data=data))
    (asking,) = (cell for cell in cells if cell.name == _cell(50))
    assert [cell.name for cell in neighbours(asking, cells)] == [
        _cell(100),  # a factor of 2
        _cell(20),  # of 2.5
        _cell(10),
        _cell(50, "other"),  # other data
        _cell(50, "steps"),
        _cell(50, "steps", kind="step"),
        _cell(10, "other"),
    ]


def test_another_method_or_another_entry_of_it_is_no_neighbour(spec: MakeSpec) -> None:
    twice = [{"name": "cce", "label": "a"}, {"name": "cce", "label": "b", "preset": "official"}, "focal"]
    cells = expand(spec(10, 50, methods=twice))
    assert [cell.name for cell in neighbours(cells[0], cells)] == [_cell(50, method="a")]


def test_a_finished_neighbours_best_follows_the_presets_setting(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(10, 50, trials=4))
    _complete(ledger, _cell(10), 0.1, 0.2, 0.9, 0.3)
    assert [_ask(ledger, _cell(50)) for _ in range(3)] == [
        "recommended",
        f"transfer: {_cell(10)}/00002",
        "searcher",  # one from each neighbour
    ]
    best, taken = (ledger.cells[_cell(ratio)].trials()[n].params for ratio, n in ((10, 2), (50, 1)))
    assert taken == pytest.approx(best)


@pytest.mark.parametrize(
    ("values", "budget", "counts"),
    [
        ((0.1, 0.2), 2, True),  # finished
        ((0.1, 0.2), 9, False),  # its searcher still samples at random
        ((0.1, 0.2, 0.3, 0.4), 9, False),
        ((0.1, 0.2, 0.3, 0.4, 0.5), 9, True),
    ],
)
def test_a_neighbour_counts_once_it_is_finished_or_started_up(
    values: tuple[float, ...], budget: int, counts: bool, spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    assert STARTED_UP == 5
    ledger = open_ledger(spec(10, 50, trials=budget))
    _complete(ledger, _cell(10), *values)
    _ask(ledger, _cell(50))
    assert _ask(ledger, _cell(50)).startswith("transfer") is counts


@pytest.mark.parametrize("end", ["fail", "prune", "running"])
def test_a_neighbour_without_a_complete_trial_gives_nothing(end: str, spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(10, 50, trials=2))
    cell = ledger.cells[_cell(10)]
    for _ in range(2):
        number = cell.ask().number
        cell.report(number, 1, 0.5)
        if end == "fail":
            cell.fail(number, "why")
        elif end == "prune":
            cell.prune(number)
    _ask(ledger, _cell(50))
    assert _ask(ledger, _cell(50)) == "searcher"


def test_a_running_trial_of_a_neighbour_keeps_it_from_being_finished(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(10, 50, trials=2))
    _complete(ledger, _cell(10), 0.1)
    running = ledger.cells[_cell(10)].ask()
    _ask(ledger, _cell(50))
    cell = ledger.cells[_cell(50)].cell
    assert ledger._suggestion(cell) is None
    train(ledger, running, 0.9)
    assert ledger._suggestion(cell) is not None


def test_values_that_a_cell_has_had_are_not_given_again(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(10, 20, 50, trials=2))
    _complete(ledger, _cell(10), 0.9, 0.1)  # its best trial is the preset, which every cell has tried
    _complete(ledger, _cell(20), 0.1, 0.9)
    assert [_ask(ledger, _cell(50)) for _ in range(2)] == ["recommended", f"transfer: {_cell(20)}/00001"]


def test_at_most_so_many_transfers(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ratios = (10, 11, 12, 13, 14, 15)
    ledger = open_ledger(spec(*ratios, trials=6))
    for ratio in ratios[1:]:
        _complete(ledger, _cell(ratio), 0.1, 0.9, 0.3, 0.3, 0.3, 0.3)
    given = [_ask(ledger, _cell(10)) for _ in range(6)]
    nearest = [f"transfer: {_cell(ratio)}/00001" for ratio in (11, 12, 13)]
    assert MOST_TRANSFERS == 3
    assert given == ["recommended", *nearest, "searcher", "searcher"]


def test_it_can_be_switched_off(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(10, 50, transfer=False, order="ratio-ascending"))
    finish(ledger)
    assert set(param_sources(ledger, _cell(50))) == {"recommended", "searcher"}


def test_cells_in_which_nothing_is_searched_exchange_nothing(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(10, 50, methods=["erm"], order="ratio-ascending"))
    finish(ledger)
    assert all(not source.startswith("transfer") for source in param_sources(ledger, _cell(50, method="erm")))


@pytest.mark.parametrize(("order", "giver", "taker"), [("ratio-ascending", 10, 50), ("ratio-descending", 50, 10)])
def test_an_order_by_ratio_has_neighbours_finished_first(
    order: str, giver: int, taker: int, spec: MakeSpec, open_ledger: OpenLedger
) -> None:
    ledger = open_ledger(spec(10, 50, order=order))
    finish(ledger)
    assert param_sources(ledger, _cell(taker))[1].startswith(f"transfer: {_cell(giver)}/")
    assert set(param_sources(ledger, _cell(giver))) == {"recommended", "searcher"}


def test_in_a_fair_order_cells_exchange_what_they_found(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    ledger = open_ledger(spec(10, 50, trials=8))
    finish(ledger)
    given = [param_sources(ledger, _cell(ratio)) for ratio in (10, 50)]
    assert all(not any(source.startswith("transfer") for source in cell[: STARTED_UP - 1]) for cell in given)
    assert any(source.startswith("transfer") for cell in given for source in cell)


def test_a_good_find_at_one_ratio_helps_the_next(spec: MakeSpec, open_ledger: OpenLedger, tmp_path: Path) -> None:
    best = []
    for transfer in (True, False):
        place = tmp_path / str(transfer)
        place.mkdir()
        ledger = open_ledger(spec(10, 50, transfer=transfer, order="ratio-ascending"), place)
        finish(ledger)
        found = ledger.cells[_cell(50)].best()
        assert found is not None and found.value is not None
        best.append(found.value)
    assert best[0] >= best[1]


@pytest.mark.parametrize("searcher", ["tpe", "cmaes", "grid", "qmc"])
@pytest.mark.parametrize("order", ["fair", "ratio-ascending"])
def test_killed_after_any_write_the_same_is_given(searcher: str, order: str, spec: MakeSpec, tmp_path: Path) -> None:
    study = spec(10, 50, trials=7, order=order, searcher=searcher, grid_points=9)
    killed = list(ends_the_same_killed_after_any_write(study, tmp_path, every=11))
    assert len(killed) > 5


def test_a_kill_between_queueing_and_starting_gives_it_once(spec: MakeSpec, open_ledger: OpenLedger) -> None:
    study = spec(10, 20, 50, trials=3)
    ledger = open_ledger(study)
    _complete(ledger, _cell(10), 0.1, 0.9, 0.1)
    _complete(ledger, _cell(20), 0.1, 0.9, 0.1)
    _ask(ledger, _cell(50))
    cell: Cell = ledger.cells[_cell(50)].cell
    suggestion = ledger._suggestion(cell)
    assert suggestion is not None
    queued = encode(cell.space, suggestion.params_in(cell.space))
    ledger.cells[_cell(50)]._study.enqueue_trial(
        queued,
        user_attrs={"param_source": suggestion.param_source(cell.space), "params": suggestion.params_in(cell.space)},
    )
    again = open_ledger(study)  # the driver died here
    finish(again)
    given = [source for source in param_sources(again, _cell(50)) if source.startswith("transfer")]
    assert given == [f"transfer: {_cell(20)}/00001", f"transfer: {_cell(10)}/00001"]
