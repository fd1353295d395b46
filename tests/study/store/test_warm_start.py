from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from study.driver.driver import run
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.warm_start import MOST_WARM_STARTS, find_warm_starts, keep_warm_starts, read_warm_starts
from tests.study.simulated import EPOCHS, content, ends_the_same_killed_after_any_write, finish, param_sources, train
from trainables.core.errors import BadInput

MakeSpec = Callable[..., StudySpec]
SEARCHED = {"gamma": {"low": -50, "high": -0.1, "scale": "log"}}
CELL = "digits/long_tail-{}/cce"


@pytest.fixture
def spec(make_spec: MakeSpec) -> MakeSpec:
    def make(
        *ratios: float, name: str = "new", method: Any = None, metric: str | None = None, **search: Any
    ) -> StudySpec:
        return make_spec(
            name=name,
            data=[{"dataset": "digits", "profiles": [{"ratio": list(ratios)}]}],
            methods=[method or {"name": "cce", "search": SEARCHED}],
            training={"epochs": EPOCHS},
            search={"trials": 5, "pruner": "none", "searcher": "random", "transfer": False, **search},
        )

    return make


def _stored(study: StudySpec, storage: Path, values: list[float]) -> Ledger:
    """Store an earlier study whose trials have these values."""
    folder = StudyFolder(storage, study.name)
    folder.path.mkdir()
    folder.create(study, {})
    ledger = Ledger(study, expand(study), open_storage(folder.path, None))
    for value in values:
        for cell in ledger.cells.values():
            train(ledger, cell.ask(), value)
    return ledger


def _found(study: StudySpec, storage: Path) -> dict[str, list[str]]:
    found = find_warm_starts(study, expand(study), storage, source="new.yaml")
    return {cell: [one.source for one in given] for cell, given in found.items()}


def test_the_best_of_the_nearest_ratios_come_first(spec: MakeSpec, tmp_path: Path) -> None:
    _stored(spec(10, 20, 45, 200, name="old"), tmp_path, [0.1, 0.9, 0.5])
    found = _found(spec(50, warm_start=["old"]), tmp_path)
    assert MOST_WARM_STARTS == 3
    assert found == {CELL.format(50): [f"warm start: old {CELL.format(ratio)}/00001" for ratio in (45, 20, 200)]}


def test_of_equally_near_cells_the_study_named_first_comes_first(spec: MakeSpec, tmp_path: Path) -> None:
    for name in ("a", "b"):
        _stored(spec(10, name=name), tmp_path, [0.1, 0.9])
    (sources,) = _found(spec(10, warm_start=["b", "a"]), tmp_path).values()
    assert [source.split()[2] for source in sources] == ["b", "a"]


def test_another_preset_comes_after_the_same_one(spec: MakeSpec, tmp_path: Path) -> None:
    _stored(spec(50, name="official", method={"name": "cce", "preset": "official"}), tmp_path, [0.1])
    _stored(spec(10, name="same"), tmp_path, [0.1])
    (sources,) = _found(spec(50, warm_start=["official", "same"]), tmp_path).values()
    assert [source.split()[2] for source in sources] == ["same", "official"]


@pytest.mark.parametrize("method", ["erm", "focal"])
def test_another_method_and_one_that_searches_nothing_take_nothing(method: str, spec: MakeSpec, tmp_path: Path) -> None:
    _stored(spec(10, name="old"), tmp_path, [0.1])
    assert list(_found(spec(10, method=method, warm_start=["old"]), tmp_path).values()) == [[]]


def test_a_study_without_complete_trials_gives_nothing(spec: MakeSpec, tmp_path: Path) -> None:
    _stored(spec(10, name="old"), tmp_path, [])
    assert list(_found(spec(10, warm_start=["old"]), tmp_path).values()) == [[]]


def _opened(study: StudySpec, storage: Path) -> Ledger:
    folder = StudyFolder(storage, study.name)
    folder.path.mkdir(exist_ok=True)
    if not (folder.path / "warm-starts.json").exists():
        keep_warm_starts(folder, find_warm_starts(study, expand(study), storage, source="new.yaml"))
    warm_starts = read_warm_starts(folder, study)
    return Ledger(study, expand(study), open_storage(folder.path, None), warm_starts)


def test_they_are_tried_after_the_presets_setting(spec: MakeSpec, tmp_path: Path) -> None:
    old = _stored(spec(10, 20, name="old"), tmp_path, [0.1, 0.9])
    ledger = _opened(spec(10, warm_start=["old"]), tmp_path)
    handed = finish(ledger)
    given = [f"warm start: old {CELL.format(ratio)}/00001" for ratio in (10, 20)]
    assert param_sources(ledger, CELL.format(10)) == ["recommended", *given, "searcher", "searcher"]
    assert handed[1].params == pytest.approx({"gamma": -old.cells[CELL.format(10)].trials()[1].params["-gamma"]})


def test_they_come_before_transfers(spec: MakeSpec, tmp_path: Path) -> None:
    _stored(spec(50, name="old"), tmp_path, [0.1, 0.9])
    ledger = _opened(spec(10, 50, warm_start=["old"], transfer=True, order="ratio-ascending"), tmp_path)
    finish(ledger)
    kinds = [source.split(":")[0] for source in param_sources(ledger, CELL.format(50))]
    assert kinds[:3] == ["recommended", "warm start", "transfer"]


def test_values_outside_of_the_new_range_are_moved_and_it_is_said(spec: MakeSpec, tmp_path: Path) -> None:
    _stored(spec(10, name="old", method={"name": "cce", "params": {"gamma": -7}, "search": {}}), tmp_path, [0.5])
    narrow = {"name": "cce", "search": {"gamma": {"low": -5, "high": -2, "scale": "log"}}}
    ledger = _opened(spec(10, method=narrow, warm_start=["old"]), tmp_path)
    handed = finish(ledger)
    assert handed[1].params == {"gamma": -5}
    assert (
        param_sources(ledger, CELL.format(10))[1]
        == f"warm start: old {CELL.format(10)}/00000, gamma moved into the range"
    )


def test_values_that_were_the_presets_are_not_tried_twice(spec: MakeSpec, tmp_path: Path) -> None:
    _stored(spec(10, 20, name="old"), tmp_path, [0.9, 0.1])
    ledger = _opened(spec(10, warm_start=["old"]), tmp_path)
    finish(ledger)
    assert set(param_sources(ledger, CELL.format(10))) == {"recommended", "searcher"}


def test_what_was_found_stays_when_the_earlier_study_goes_on(spec: MakeSpec, tmp_path: Path) -> None:
    old = _stored(spec(10, name="old"), tmp_path, [0.1, 0.5])
    study = spec(10, warm_start=["old"])
    _opened(study, tmp_path)
    train(old, old.cells[CELL.format(10)].ask(), 0.9)
    ledger = _opened(study, tmp_path)
    finish(ledger)
    assert param_sources(ledger, CELL.format(10))[1] == f"warm start: old {CELL.format(10)}/00001"
    assert content(_opened(study, tmp_path)) == content(ledger)


def test_killed_after_any_write_the_same_is_tried(spec: MakeSpec, tmp_path: Path) -> None:
    _stored(spec(10, 20, name="old"), tmp_path, [0.1, 0.9])
    study = spec(10, 50, warm_start=["old"], transfer=True, searcher="tpe", order="ratio-ascending")
    warm_starts = find_warm_starts(study, expand(study), tmp_path, source="new.yaml")
    assert list(ends_the_same_killed_after_any_write(study, tmp_path, 7, warm_starts))


def test_an_unknown_study_is_found_before_anything_starts(spec: MakeSpec, tmp_path: Path) -> None:
    _stored(spec(10, name="mnist-old"), tmp_path, [])
    study = spec(10, warm_start=["mnist-old", "mnist-odl"])
    with pytest.raises(BadInput) as caught:
        run(study, tmp_path, address=None, console=Console(file=io.StringIO()), source="new.yaml")
    assert str(caught.value).startswith("new.yaml: search.warm_start[1]: no study 'mnist-odl'")
    assert "mnist-old" in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("damage", [None, "{", "[]", '{"a": [{}]}'])
def test_a_file_that_is_gone_or_damaged_is_said(damage: str | None, spec: MakeSpec, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "new")
    folder.path.mkdir()
    if damage is not None:
        (folder.path / "warm-starts.json").write_text(damage)
    assert read_warm_starts(folder, spec(10)) == {}
    with pytest.raises(BadInput, match=r"warm-starts\.json: cannot be read"):
        read_warm_starts(folder, spec(10, warm_start=["old"]))
