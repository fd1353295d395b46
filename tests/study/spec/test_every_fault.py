"""All faults of a study file are named at once, and only real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from study.spec.every_fault import examine
from study.spec.misplaced_keys import _NAMES, answer
from study.spec.study_spec import StudySpec
from study.spec.validation import checked_spec
from trainables.core.errors import BadInput

Make = Callable[..., dict[str, Any]]


def _said(mapping: dict[str, Any]) -> list[str]:
    with pytest.raises(BadInput) as caught:
        checked_spec(mapping, (), source="my.yaml")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("my.yaml: ") for line in lines)
    return [line.removeprefix("my.yaml: ") for line in lines]


def test_faults_of_every_level_are_in_one_message(study_mapping: Make) -> None:
    given = study_mapping(
        methods=["ERM", {"name": "focal", "params": {"gama": 1}}, {"name": "ldam", "params": {"scale": -1}}],
        model="ResNet32",
        optimizer="adam",
        training={"epoch": 5, "optimizer": "sgd", "lr": -1},
        search={"trial": 3, "metric": "balanced_acuracy"},
    )
    said = _said(given)
    for part in (
        "optimizer does not exist; it is called training.optimizer",
        "training: unknown key 'epoch'; did you mean 'epochs'?",
        "training.lr: must be greater than 0, got -1",
        "search: unknown key 'trial'; did you mean 'trials'?",
        "search.metric: unknown metric 'balanced_acuracy'; did you mean 'balanced_accuracy'?",
        "methods[0]: unknown method 'ERM'; did you mean 'erm'?",
        "methods[1]: focal: unknown key 'gama'; did you mean 'gamma'?",
        "methods[2]: ldam: `scale` must be greater than 0, got -1",
        "model: unknown model 'ResNet32'; did you mean 'resnet32'?",
    ):
        assert sum(line.startswith(part) for line in said) == 1, part
    assert len(said) == 9


def test_items_of_lists_keep_their_numbers(study_mapping: Make) -> None:
    said = _said(study_mapping(methods=[{"preset": "paper"}, "lddam", 3, {"name": "cce", "params": {"gamma": 2}}]))
    assert [line.split(":")[0] for line in said] == ["methods[0].name", "methods[2]", "methods[1]", "methods[3]"]


@pytest.mark.parametrize("lacking", ["name", "data", "methods"])
def test_a_lacking_key_hides_nothing(lacking: str, study_mapping: Make) -> None:
    given = study_mapping(model="resnet-32")
    del given[lacking]
    said = _said(given)
    assert said[0] == f"{lacking}: Field required" and said[1].startswith("model: unknown model")
    assert len(said) == 2


def test_a_rule_between_keys_says_nothing_if_one_of_them_is_faulty(study_mapping: Make) -> None:
    search = {"metric": ["few", "many"], "pruner": "median"}
    (said,) = _said(study_mapping(search=search))
    assert "`pruner` must be none" in said
    (said,) = _said(study_mapping(search={**search, "trials": "x"}))
    assert said.startswith("search.trials")
    (said,) = _said(study_mapping(search={"epochs_total": 5}, training={"epochs": "many"}))
    assert said.startswith("training.epochs")


def test_a_rule_between_top_keys_hides_nothing(study_mapping: Make) -> None:
    said = _said(study_mapping(confirm={"metric": "loss"}, methods=["CE"]))
    assert "confirm.metric" in said[0] and "unknown method 'CE'; did you mean 'erm'?" in said[1]


def test_a_sound_file_is_read_as_it_stands(study_mapping: Make) -> None:
    found = examine(study_mapping())
    assert found.spec == StudySpec.model_validate(study_mapping()) and not found.faults and not found.replaced


@pytest.mark.parametrize("given", [{}, {"name": 3, "data": 3, "methods": {}, "search": [], "training": "x"}])
def test_a_file_of_faults_alone_ends(given: dict[str, Any]) -> None:
    said = _said(given)
    assert {line.split(":")[0] for line in said} >= {"data", "methods"}


def _exists(place: str) -> bool:
    model: Any = StudySpec
    for step in place.split("."):
        field = model.model_fields.get(step.removesuffix("[]"))
        if field is None:
            return False
        inner = field.annotation
        while not hasattr(inner, "model_fields") and getattr(inner, "__args__", None):
            inner = inner.__args__[0]
        model = inner
    return True


@pytest.mark.parametrize("place", _NAMES)
def test_answers_name_places_that_exist(place: str) -> None:
    assert _exists(place)


def test_answers_to_names_that_people_expect() -> None:
    assert answer("", "learning_rate") == "learning_rate does not exist; it is called training.lr"
    assert answer("training", "Batch-Size") == "training.Batch-Size does not exist; it is called training.batch_size"
    assert answer("", "frobnicate") is None


def test_settings_that_the_optimizer_lacks_are_named(study_mapping: Make) -> None:
    said = _said(study_mapping(training={"optimizer": "adam", "lr": 0.001}))
    assert said == ["training: unknown optimizer 'adam'; did you mean 'adamw'? Allowed: adamw, sgd"]
    said = _said(study_mapping(training={"optimizer": "adamw", "momentum": 0.5}, methods=["ERM"]))
    assert said[0].startswith("methods[0]: unknown method 'ERM'")
    assert said[1].startswith("training: `momentum` 0.5 means nothing to the optimizer adamw; leave it out")
    searched = {"momentum": {"low": 0.5, "high": 0.9}, "ema": {"low": 0.9, "high": 0.999}}
    said = _said(study_mapping(training={"optimizer": "adamw"}, search={"training": searched}))
    assert said == [
        "search.training.momentum: the optimizer adamw has no `momentum`; leave it out",
        "search.training.ema: `training.ema` must be given, too: it is the value of the first trial",
    ]


def test_records_that_may_hold_a_password_are_not_shown(study_mapping: Make) -> None:
    libpq = "host=h user=me password=hunter-71"
    for records in ({"ledger": libpq}, {"tracking_uri": libpq}, {"tracking_uri": "me:hunter-71@host:5000"}, libpq):
        said = _said(study_mapping(records=records))
        assert said[0].startswith("records") and "hunter-71" not in str(said)
        assert "http://HOST:PORT, a file" in said[0] or "tracking_uri" not in str(records)
