"""A plan departs from a table only as asked, and says so in name, question and labels."""

from __future__ import annotations

import re
from typing import Any

import pytest

from study.reproduce.published import STUDIES, table_named
from study.reproduce.reproduction_plan import Changes, Plan, plan
from study.spec.cell import expand
from study.spec.study_spec import STUDY_NAME, StudySpec
from study.spec.validation import load_spec
from trainables.core.errors import BadInput


def _plan(name: str, **changes: Any) -> Plan:
    return plan(table_named(name), Changes(**changes))


def _only(planned: Plan) -> StudySpec:
    (study,) = planned.studies.values()
    return study.spec


def test_a_whole_table_is_its_study_file() -> None:
    planned = _plan("cce/table-9")
    assert _only(planned) == load_spec(STUDIES / "cce-table-9.yaml")
    assert planned.labels == () and planned.changes.comparable


def test_networks_of_a_table_are_studies_of_their_own() -> None:
    names = [study.spec.name for study in _plan("cce/table-8").studies.values()]
    assert names[:2] == ["cce-table-8", "cce-table-8-resnet101"]
    assert [study.spec.model.name for study in _plan("cce/table-8").studies.values()][1] == "resnet101"
    # the table's first network is the file's own, so that table 2 shares a study with table 1
    assert [study.spec.name for study in _plan("offset/table-2").studies.values()] == [
        "offset-table-1-imagenet-lt",
        "offset-table-1-imagenet-lt-resnext50_32x4d",
        "offset-table-1-imagenet-lt-resnext152_32x4d",
        "offset-table-2-sun397",
    ]


def test_a_scaled_study_is_shorter_has_another_name_and_says_so() -> None:
    planned = _plan("elm/table-1", scale=0.1)
    spec = _only(planned)
    assert (spec.name, spec.training.epochs) == ("elm-table-1-scale-0.1", 20)
    assert spec.confirm is not None and spec.confirm.seeds == 1
    assert planned.labels == ("scale 0.1: 20 of 200 epochs, 1 trials, 1 of 3 seeds",)
    assert spec.question.startswith("[scale 0.1: 20 of 200 epochs, 1 trials, 1 of 3 seeds] Does a margin")
    assert not planned.changes.comparable
    assert spec.training.schedule == load_spec(STUDIES / "elm-table-1.yaml").training.schedule


def test_a_scaled_grid_keeps_its_points_and_a_scaled_search_does_not_keep_its_trials() -> None:
    assert _only(_plan("cce/table-9", scale=0.001)).search.trials == 10
    assert _only(_plan("cce/table-9", scale=0.001)).training.epochs == 1
    assert _only(_plan("affinity/table-1", scale=0.2)).search.trials == 2


def test_only_restricts_methods_profiles_and_points() -> None:
    spec = _only(_plan("elm/table-1", only=("LDAM", "LDAM + DRW", "C10 LT 100")))
    assert [cell.name for cell in expand(spec)] == ["cifar10/long_tail-100/ldam", "cifar10/long_tail-100/ldam-drw"]
    spec = _only(_plan("cce/table-9", only=("gamma -10", "gamma -50", "LT 100")))
    (cell,) = expand(spec)
    assert cell.name == "cifar10/long_tail-100/cce" and cell.space["gamma"].examples == (-10, -50)
    assert spec.name == "cce-table-9-only-gamma-10-gamma-50-LT-100"
    both = _plan("elm/table-1", only=("erm/long_tail-100",))
    assert [cell.name for cell in expand(_only(both))] == ["cifar10/long_tail-100/erm", "cifar100/long_tail-100/erm"]
    assert both.changes.comparable


def test_only_table_drops_what_the_table_does_not_show() -> None:
    planned = _plan("offset/table-3", only=("table",))
    methods = {study.spec.name: len(study.spec.methods) for study in planned.studies.values()}
    assert methods == {"offset-table-1-imagenet-lt-only-table": 4, "offset-table-1-places-lt-only-table": 4}


def test_other_data_replace_the_first_data_set_and_profile() -> None:
    planned = _plan("offset/table-3", dataset="cifar10", ratio=50, model="conv-tiny", scale=0.01)
    spec = _only(planned)
    assert next(cell.name for cell in expand(spec)) == "cifar10/long_tail-50/erm"
    assert spec.training.crop_size is None and spec.model.weights is None
    assert {entry.column for entry in planned.entries} == {f"ImageNet-LT {g}" for g in ("many", "medium", "few", "all")}
    assert planned.labels[1:] == (
        "network conv-tiny in place of the paper's",
        "cifar10 at ratio 50 (--ratio chooses another) in place of imagenet-lt natural",
    )
    assert spec.name.startswith("offset-table-1-imagenet-lt-scale-0.01-with-conv-tiny")


@pytest.mark.parametrize("name", ["offset/table-3", "elm/table-1", "m2m/table-2"])
def test_long_names_stay_names_and_differ(name: str) -> None:
    names = set()
    for scale in (0.1, 0.01):
        planned = _plan(name, scale=scale, model="conv-tiny", dataset="digits", ratio=20, only=("erm", "table"))
        names |= {study.spec.name for study in planned.studies.values()}
    assert len(names) == 2 and all(re.fullmatch(STUDY_NAME, one) for one in names)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"scale": 0}, "--scale 0: must be above 0 and at most 1"),
        ({"scale": 1.5}, r"--scale 1.5"),
        ({"only": ("gama -1",)}, "did you mean 'gamma -1'"),
        ({"only": ("gamma -1", "cce", "gamma -2/LT 10x")}, "unknown row"),
        ({"model": "resnet33"}, "did you mean 'resnet3"),
        ({"dataset": "digits", "ratio": 0.5}, "--ratio 0.5"),
    ],
)
def test_bad_changes_are_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        _plan("cce/table-9", **changes)
