from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.search.pruners import build_pruner, first_decision
from study.spec.ignored_keys import PRUNERS_READ, SEARCHERS_READ, ignored_key_notes
from study.spec.search_spec import PrunerSpec, SearchSpec
from study.spec.search_tables import PRUNERS, SEARCHERS, Pruner, Searcher
from study.spec.study_spec import StudySpec
from study.spec.validation import load_spec
from study.spec.yaml_io import write_yaml

MakeSpec = Callable[..., StudySpec]
GIVEN = {
    "warmup_epochs": 2,
    "startup_trials": 3,
    "percentile": 40,
    "reduction_factor": 4,
    "lower": 0.1,
    "least_chance": 0.2,
    "min_delta": 0.01,
}
"""Every key of a pruner but `upper`, which is read with `lower`, and `patience`."""


class _Watched(PrunerSpec):
    """Notes which keys are read."""

    def __getattribute__(self, name: str) -> Any:
        if name in GIVEN:
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()


@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize("name", [name for name in PRUNERS.known_names() if PRUNERS.is_inside(name)])
def test_notes_name_the_keys_that_the_pruner_does_not_read(
    name: str, patience: int | None, make_spec: MakeSpec
) -> None:
    pruner = {"name": name, **GIVEN, **({} if patience is None else {"patience": patience})}
    notes = ignored_key_notes(make_spec(search={"pruner": pruner}))
    watched = _Watched(**pruner)
    READ.clear()
    build_pruner(watched, 0, 10)
    first_decision(watched, 0)
    if name == "none" and patience is None:
        READ.clear()  # it never decides, whatever it reads
    ignored = {note.removeprefix("search.pruner.").partition(":")[0] for note in notes}
    assert ignored == GIVEN.keys() - READ


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"grid_points": 7}, "search.grid_points: 7 has no effect with searcher tpe; only grid reads it"),
        (
            {"searcher": "gp", "preset_prior": 2},
            "search.preset_prior: 2 has no effect with searcher gp; only ratio-gp reads it",
        ),
        (
            {"pruner": {"name": "hyperband", "startup_trials": 4}},
            "search.pruner.startup_trials: 4 has no effect with pruner hyperband; only median, percentile and ratio-gp "
            "read it",
        ),
        (
            {"pruner": {"name": "median", "min_delta": 0.1}},
            "search.pruner.min_delta: 0.1 has no effect without `patience`, which reads it",
        ),
        (
            {"pruner": {"name": "none", "warmup_epochs": 3}},
            "search.pruner.warmup_epochs: 3 has no effect with pruner none, unless `patience` is given; all other "
            "pruners read it",
        ),
    ],
)
def test_a_note_names_key_value_and_reader(search: dict[str, Any], said: str, make_spec: MakeSpec) -> None:
    assert ignored_key_notes(make_spec(search=search)) == [said]


@pytest.mark.parametrize(
    "search",
    [
        {},
        {"searcher": "grid", "grid_points": 7},
        {"searcher": "ratio-gp", "preset_prior": 2, "pruner": {"name": "ratio-gp", "least_chance": 0.3}},
        {"pruner": {"name": "threshold", "lower": 0.2, "upper": None}},
        {"pruner": {"name": "median", "lower": None, "patience": 3, "min_delta": 0.1}},
        {"metric": ["many", "few"], "transfer": False},
    ],
)
def test_what_is_read_or_left_out_is_not_named(search: dict[str, Any], make_spec: MakeSpec) -> None:
    assert ignored_key_notes(make_spec(search=search, confirm={"seeds": 2})) == []


def test_a_file_with_all_keys_as_a_stored_study_has_names_none(make_spec: MakeSpec, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(write_yaml(make_spec(search={"grid_points": 7}).model_dump(mode="json")))
    assert ignored_key_notes(load_spec(path)) == []


def test_a_plugins_searcher_is_given_the_prior_and_its_pruner_the_warmup(make_spec: MakeSpec) -> None:
    SEARCHERS.describe({"mine": Searcher(name="mine", build=print)})
    PRUNERS.describe({"mine": Pruner(name="mine", build=print)})
    try:
        pruner = {"name": "mine", "warmup_epochs": 3, "startup_trials": 2}
        search = {"searcher": "mine", "preset_prior": 2, "grid_points": 3, "pruner": pruner}
        notes = ignored_key_notes(make_spec(search=search))
    finally:
        SEARCHERS.forget_descriptions()
        PRUNERS.forget_descriptions()
    assert [note.partition(":")[0] for note in notes] == ["search.grid_points", "search.pruner.startup_trials"]
    assert "with pruner mine of a plug-in; only median, percentile and ratio-gp read it" in notes[1]


def test_a_race_needs_two_methods(make_spec: MakeSpec) -> None:
    confirm = {"seeds": 3, "race": {"compare": "best"}}
    (note,) = ignored_key_notes(make_spec(confirm=confirm))
    assert note.startswith("confirm.race: has no effect with cce as the only method: there are no two methods")
    assert "with the 3 seeds of `confirm.seeds`" in note
    twice = ["cce", {"name": "cce", "label": "cce-paper", "preset": "paper"}]
    assert ignored_key_notes(make_spec(methods=twice, confirm=confirm)) == []
    assert ignored_key_notes(make_spec(confirm={"seeds": 3})) == []


def test_the_tables_name_keys_searchers_and_pruners_that_there_are() -> None:
    assert SEARCHERS_READ.keys() <= SearchSpec.model_fields.keys()
    assert PRUNERS_READ.keys() <= PrunerSpec.model_fields.keys()
    assert all(map(SEARCHERS.is_inside, (name for names in SEARCHERS_READ.values() for name in names)))
    assert all(map(PRUNERS.is_inside, (name for names in PRUNERS_READ.values() for name in names)))
