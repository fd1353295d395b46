from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from study.spec.search_spec import SearchSpec
from study.spec.validation import checked_spec
from trainables.core.errors import BadInput

Make = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"searcher": "cma"}, ["search.searcher", "unknown searcher 'cma'; did you mean 'cmaes'?"]),
        ({"grid_points": 1}, ["search.grid_points", "greater than or equal to 2", "got 1"]),
        ({"transfer": "perhaps"}, ["search.transfer", "got 'perhaps'"]),
        ({"warm_start": 3}, ["search.warm_start", "got 3"]),
        ({"grid_points": 10**9}, ["search.grid_points", "less than or equal to 100000"]),
        ({"searcher": "cmaes", "metric": ["many", "few"]}, ["`searcher` cmaes", "allowed: tpe, gp, random, qmc, grid"]),
        (
            {"searcher": "ratio-gp", "metric": ["many", "few"]},
            ["`searcher` ratio-gp", "one metric", "allowed: tpe, gp, random, qmc, grid"],
        ),
        ({"epochs_total": 0}, ["search.epochs_total", "greater than or equal to 1"]),
        ({"epochs_total": 9}, ["search.epochs_total", "at least the 10 epochs of one trial", "got 9"]),
        ({"stop_cell_after": 0}, ["search.stop_cell_after", "greater than or equal to 1"]),
        ({"cell_concurrency": 0}, ["search.cell_concurrency", "greater than or equal to 1"]),
        ({"order": "ratio"}, ["search.order", "'fair'", "'ratio-ascending'", "got 'ratio'"]),
        ({"pruner": "threshold"}, ["search.pruner", "`lower`, `upper` or both"]),
        ({"pruner": {"name": "median", "patience": 0}}, ["search.pruner.patience", "got 0"]),
        ({"training": {"lr": {"low": 0.1, "high": 1, "grid": [2]}}}, ["search.training.lr", "`grid` must hold"]),
        ({"select": "first"}, ["search.select", "'last' or 'best'", "got 'first'"]),
        ({"select": "best", "metric": ["many", "few"]}, ["`select` best needs a single metric", "allowed: last"]),
        ({"budget": "hours"}, ["search.budget", "'trials' or 'epochs'", "got 'hours'"]),
        ({"cell_concurency": 2}, ["cell_concurency", "did you mean 'cell_concurrency'"]),
    ],
)
def test_what_cannot_be_is_refused(search: dict[str, Any], said: list[str], study_mapping: Make) -> None:
    with pytest.raises(BadInput) as caught:
        checked_spec(study_mapping(search=search), (), source="my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    for part in said:
        assert part in str(caught.value)


def test_a_lone_study_to_begin_from_is_a_list_of_one(study_mapping: Make) -> None:
    spec = checked_spec(study_mapping(search={"warm_start": "old"}), (), source="my.yaml")
    assert spec.search.warm_start == ("old",)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({}, True),
        ({"searcher": "tpe"}, True),
        ({"searcher": "ratio-gp"}, False),
        ({"searcher": "ratio-gp", "transfer": True}, True),
        ({"searcher": "gp", "transfer": False}, False),
    ],
)
def test_transfer_is_off_by_default_beside_a_searcher_that_learns_from_all_cells(
    search: dict[str, Any], expected: bool, study_mapping: Make
) -> None:
    assert checked_spec(study_mapping(search=search), (), source="my.yaml").search.transfer is expected
    assert SearchSpec(**search).transfer is expected


def test_the_default_of_transfer_follows_an_override_of_the_searcher(study_mapping: Make) -> None:
    spec = checked_spec(study_mapping(search={"searcher": "gp"}), ("search.searcher=ratio-gp",), source="my.yaml")
    assert not spec.search.transfer


@pytest.mark.parametrize("searcher", [["ratio-gp"], {"ratio-gp": 1}, 3])
def test_a_searcher_that_is_no_text_is_one_fault(searcher: Any, study_mapping: Make) -> None:
    with pytest.raises(BadInput, match=r"^my.yaml: search.searcher: must be a valid string[^\n]*$"):
        checked_spec(study_mapping(search={"searcher": searcher}), (), source="my.yaml")
