from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search_spaces import Choices, Range
from study.spec.study_spec import ProfileSpec, StudySpec
from study.spec.validation import checked_spec, load_spec
from study.spec.yaml_io import write_yaml
from trainables.core.config import TrainingConfig
from trainables.core.errors import BadInput
from trainables.core.trial_task import ARTIFACTS

Make = Callable[..., dict[str, Any]]
STUDIES = Path(__file__).parents[3] / "studies"


def _refused(mapping: dict[str, Any], *overrides: str) -> str:
    with pytest.raises(BadInput) as caught:
        checked_spec(mapping, overrides, source="my.yaml")
    return str(caught.value)


def test_a_minimal_file_gets_defaults() -> None:
    spec = checked_spec(
        {"name": "s", "data": [{"dataset": "digits", "profiles": [{"ratio": 10}]}], "methods": ["erm"]},
        (),
        source="s.yaml",
    )
    assert spec.training == TrainingConfig()
    assert spec.search.trials == 20
    assert spec.search.metric == "balanced_accuracy"
    assert spec.methods[0].preset == "recommended"
    assert spec.data[0].protocol == "holdout"
    assert spec.records.tracking_uri is None and spec.records.ledger is None


def test_names_alone_stand_for_methods_model_and_pruner(study_mapping: Make) -> None:
    spec = checked_spec(study_mapping(search={"pruner": "median"}), (), source="s")
    assert spec.methods[0].name == "cce"
    assert spec.model.name == "mlp"
    assert spec.search.pruner.name == "median"


def test_a_list_of_ratios_is_one_profile_each() -> None:
    profiles = ProfileSpec(kind="step", ratio=[10, 100], minority="odd").profiles()
    assert [(p.kind, p.ratio, p.minority) for p in profiles] == [("step", 10, "odd"), ("step", 100, "odd")]


def test_one_ratio_is_one_profile() -> None:
    assert [p.ratio for p in ProfileSpec(ratio=7).profiles()] == [7]


def test_natural_has_no_ratio() -> None:
    (profile,) = ProfileSpec(kind="natural").profiles()
    assert (profile.kind, profile.ratio) == ("natural", 1)


def test_a_data_set_expands_to_its_profiles_in_order(study_mapping: Make) -> None:
    data = {
        "dataset": "digits",
        "label_noise": 0.1,
        "subset_seed": 3,
        "profiles": [{"ratio": [2, 5]}, {"kind": "natural"}],
    }
    configs = checked_spec(study_mapping(data=[data]), (), source="s").data[0].configs()
    assert [(c.profile.kind, c.profile.ratio) for c in configs] == [("long_tail", 2), ("long_tail", 5), ("natural", 1)]
    assert {(c.dataset, c.label_noise, c.subset_seed) for c in configs} == {("digits", 0.1, 3)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        # path, what was given, what is allowed, nearest name
        (
            {"methods": ["lddam"]},
            ["methods[0]", "unknown method 'lddam'", "did you mean 'ldam'?", "Allowed: adaptformer"],
        ),
        ({"methods": ["erm", {"name": "cce", "preset": "papper"}]}, ["methods[1]", "preset", "did you mean 'paper'"]),
        ({"model": "resnet-32"}, ["model", "'resnet-32'", "did you mean 'resnet32'"]),
        (
            {"search": {"metric": "balanced_acuracy"}},
            ["search.metric", "'balanced_acuracy'", "did you mean 'balanced_accuracy'", "worst_recall"],
        ),
        ({"training": {"epoch": 3}}, ["training", "unknown key 'epoch'", "did you mean 'epochs'", "Allowed"]),
        ({"metods": ["erm"]}, ["unknown key 'metods'", "did you mean 'methods'"]),
        ({"search": {"trails": 3}}, ["search", "unknown key 'trails'", "did you mean 'trials'"]),
        (
            {"data": [{"dataset": "digits", "profiles": [{"ratio": 0.5}]}]},
            ["data[0].profiles[0]", "`ratio` must be >= 1, got 0.5"],
        ),
        (
            {"data": [{"dataset": "digits", "profiles": [{"ratio": [10, float("nan")]}]}]},
            ["data[0].profiles[0]", "`ratio` must be >= 1, got nan"],
        ),
        (
            {"data": [{"dataset": "digits", "profiles": [{"kind": "natural", "ratio": 10}]}]},
            ["data[0].profiles[0]", "`ratio` must be left out with kind natural"],
        ),
        (
            {"data": [{"dataset": "digits", "profiles": [{"kind": "step"}]}]},
            ["data[0].profiles[0]", "`ratio` must be given with kind step"],
        ),
        (
            {"data": [{"dataset": "digits", "profiles": [{"kind": "longtail", "ratio": 10}]}]},
            ["data[0].profiles[0].kind", "'long_tail'", "got 'longtail'"],
        ),
        ({"data": []}, ["data", "at least 1 item"]),
        ({"data": [{"dataset": "digits", "profiles": []}]}, ["data[0].profiles", "at least 1 item"]),
        (
            {"methods": [{"name": "cce", "params": {"gamma": 1.0}}]},
            ["methods[0]", "cce", "`gamma` must be less than 0, got 1.0"],
        ),
        ({"methods": [{"name": "cce", "params": {"gama": -1}}]}, ["methods[0]", "'gama'", "did you mean 'gamma'"]),
        (
            {"methods": [{"name": "cce", "search": {"gamma": {"low": -1, "high": -5}}}]},
            ["methods[0].search.gamma", "`low` must be < `high`", "got low -1 and high -5"],
        ),
        (
            {"methods": [{"name": "cce", "search": {"gamma": {"low": -5, "high": 5}}}]},
            ["methods[0]", "search.gamma", "less than 0", "got 5.0"],
        ),
        (
            {"methods": [{"name": "focal", "search": {"gamma": {"low": 0, "high": 5, "scale": "log"}}}]},
            ["methods[0].search.gamma", "log range must not hold 0", "0 to 5"],
        ),
        (
            {"methods": [{"name": "cce", "search": {"gama": {"low": -5, "high": -1}}}]},
            ["methods[0]", "searched param of cce 'gama'", "did you mean 'gamma'"],
        ),
        (
            {"methods": [{"name": "cce", "search": {"gamma": {"low": -5, "hihg": -1}}}]},
            ["methods[0].search.gamma", "'hihg'", "did you mean 'high'"],
        ),
        (
            {"methods": [{"name": "cce", "search": {"gamma": {"choices": [-1]}}}]},
            ["methods[0].search.gamma.choices", "at least 2 items"],
        ),
        (
            {"methods": [{"name": "cce", "search": {"variant": {"choices": ["paper", "oficial"]}}}]},
            ["methods[0]", "search.variant", "'paper' or 'official'", "got 'oficial'"],
        ),
        (
            {"methods": [{"name": "cce", "params": {"gamma": -1}, "search": {"gamma": {"low": -5, "high": -1}}}]},
            ["methods[0]", "`gamma` is set in both `params` and `search`"],
        ),
        (
            {"methods": [{"name": "affinity", "search": {"prototypes": {"low": 1, "high": 20}}}]},
            ["methods[0]", "search.prototypes", "integer"],
        ),
        (
            {"search": {"training": {"lr": {"low": -0.1, "high": 0.1}}}},
            ["search.training.lr", "greater than 0", "got -0.1"],
        ),
        (
            {"search": {"training": {"momentum": {"low": 0.5, "high": 1.5}}}},
            ["search.training.momentum", "less than 1", "got 1.5"],
        ),
        (
            {"search": {"training": {"epochs": {"low": 1, "high": 9}}}},
            [
                "search.training",
                "'epochs'",
                "Allowed: clip_norm, cutout, ema, layer_decay, lr, momentum, rand_magnitude, weight_decay",
            ],
        ),
        ({"search": {"trials": 0}}, ["search.trials", "greater than or equal to 1", "got 0"]),
        ({"search": {"trials": "many"}}, ["search.trials", "integer", "got 'many'"]),
        ({"search": {"searcher": "tpee"}}, ["search.searcher", "unknown searcher 'tpee'; did you mean 'tpe'?"]),
        ({"search": {"pruner": "medain"}}, ["search.pruner.name", "unknown pruner 'medain'; did you mean 'median'?"]),
        ({"training": {"lr": 0}}, ["training.lr", "greater than 0", "got 0"]),
        ({"training": {"nesterov": True, "momentum": 0}}, ["training", "`nesterov` needs `momentum` > 0"]),
        (
            {"training": {"schedule": {"milestones": [0.9, 0.8]}}},
            ["training.schedule", "`milestones` must rise within (0, 1), got [0.9, 0.8]"],
        ),
        ({"resources": {"cpus": 0}}, ["resources.cpus", "greater than or equal to 1", "got 0"]),
        ({"name": "a/b"}, ["name", "got 'a/b'"]),
        ({"name": "../up"}, ["name", "got '../up'"]),
        ({"name": "mlflow.db"}, ["name", "must not be shared or mlartifacts, begin with mlflow.db"]),
        ({"methods": [{"name": "erm", "label": "a/b"}]}, ["methods[0].label", "got 'a/b'"]),
        ({"seed": -1}, ["seed", "greater than or equal to 0", "got -1"]),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_bad_input_is_named_with_file_path_value_and_what_is_allowed(
    change: dict[str, Any], said: list[str], study_mapping: Make
) -> None:
    message = _refused(study_mapping(**change))
    assert message.startswith("my.yaml: ")
    for part in said:
        assert part in message, message


def test_every_fault_is_said_at_once(study_mapping: Make) -> None:
    message = _refused(study_mapping(seed=-1, training={"lr": 0}, search={"trials": 0}))
    assert len(message.splitlines()) == 3
    assert all(line.startswith("my.yaml: ") for line in message.splitlines())


def test_what_is_missing_is_named(study_mapping: Make) -> None:
    mapping = study_mapping()
    del mapping["methods"]
    assert "my.yaml: methods: Field required" in _refused(mapping)


def test_set_replaces_values_and_list_items(study_mapping: Make) -> None:
    overrides = ("search.trials=9", "data.0.profiles.0.ratio=[2, 4]", "methods.0=erm", "training.schedule.kind=cosine")
    spec = checked_spec(study_mapping(), overrides, source="s")
    assert spec.search.trials == 9
    assert [p.ratio for p in spec.data[0].profiles[0].profiles()] == [2, 4]
    assert spec.methods[0].name == "erm"
    assert spec.training.schedule.kind == "cosine"


def test_set_goes_inside_a_name(study_mapping: Make) -> None:
    spec = checked_spec(study_mapping(search={"pruner": "median"}), ("search.pruner.name=percentile",), source="s")
    assert spec.search.pruner.name == "percentile"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.trails=9", "unknown key 'trails'; did you mean 'trials'?"),
        ("search.trials", "must be path=value"),
        ("=3", "must be path=value"),
        ("data.1.dataset=digits", "'1' must be an index from 0 to 0"),
        ("data.first.dataset=digits", "'first' must be an index"),
        ("methods.0.name=erm", "'name' is not a key: the value above it is neither a mapping nor a list"),
        ("search={", "not valid YAML"),
        ("search.trials=many", "search.trials"),
    ],
)
def test_bad_overrides_are_refused(override: str, said: str, study_mapping: Make) -> None:
    assert said in _refused(study_mapping(), override)


def test_overrides_leave_the_mapping_alone(study_mapping: Make) -> None:
    mapping = study_mapping()
    checked_spec(mapping, ("search.trials=9",), source="s")
    assert mapping == study_mapping()


def test_the_ends_of_every_builtin_space_are_allowed(study_mapping: Make) -> None:
    from trainables.methods.registry import METHODS

    checked_spec(study_mapping(methods=list(METHODS)), (), source="s")


def test_load_spec_reads_a_file(tmp_path: Path, study_mapping: Make) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(write_yaml(study_mapping()))
    assert load_spec(file, ("seed=5",)).seed == 5


def test_load_spec_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.yaml: no such file"):
        load_spec(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "file",
    [path for path in sorted(STUDIES.rglob("*.yaml")) if path.parent.name != "published"],
    ids=lambda path: path.stem,
)
def test_the_ready_studies_are_right(file: Path) -> None:
    from study.spec.cell import expand

    assert len(expand(load_spec(file))) >= 2


def test_what_is_stored_is_read_back_the_same(study_mapping: Make) -> None:
    methods = [{"name": "cce", "search": {"gamma": {"low": -5, "high": -1, "scale": "log"}}}, "ldam-drw"]
    training = {"lr": {"low": 0.01, "high": 0.1, "scale": "log"}, "weight_decay": {"choices": [0.0, 1e-4]}}
    spec = checked_spec(study_mapping(methods=methods, search={"training": training}), (), source="s")
    assert checked_spec(spec.model_dump(mode="json"), (), source="stored") == spec
    assert isinstance(spec.search.training["lr"], Range)
    assert isinstance(spec.search.training["weight_decay"], Choices)


PLACES = (
    *("name", "seed", "model", "resources", "records", "artifacts"),
    *("data", "data.0", "data.0.profiles", "data.0.profiles.0.ratio", "methods", "methods.0"),
    *("training", "training.lr", "training.schedule", "search", "search.pruner", "search.training"),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.sampled_from(PLACES),
    value=_JSON,
)
def test_whatever_stands_anywhere_is_taken_or_refused(study_mapping: Make, place: str, value: Any) -> None:
    mapping = study_mapping()
    *steps, last = [int(step) if step.isdigit() else step for step in place.split(".")]
    inner: Any = mapping
    for step in steps:
        inner = inner[step]
    inner[last] = value
    try:
        assert isinstance(checked_spec(mapping, (), source="s"), StudySpec)
    except BadInput as error:
        assert str(error).startswith("s: ")


@pytest.mark.parametrize("written", ["~nosuchuser/data", "a\0b"])
def test_a_data_folder_that_cannot_be_is_named_with_file_and_path(written: str, study_mapping: Make) -> None:
    data = [{"dataset": "digits", "data_dir": written, "profiles": [{"ratio": 10}]}]
    said = _refused(study_mapping(data=data))
    assert said.startswith(f"my.yaml: data[0].data_dir: `data_dir` names {written!r}")


@pytest.mark.parametrize(
    ("chosen", "search", "confirmed"),
    [
        ({}, (), ("offsets", "embedding", "mistakes", "logits")),
        ({"offsets": "all", "mistakes": "none", "logits": "none"}, ("offsets",), ("offsets", "embedding")),
        ({"offsets": "none", "embedding": "none", "mistakes": "all"}, ("mistakes",), ("mistakes", "logits")),
    ],
)
def test_artifacts_are_made_for_the_trials_that_the_file_says(
    chosen: dict[str, str], search: tuple[str, ...], confirmed: tuple[str, ...], study_mapping: Make
) -> None:
    artifacts = checked_spec(study_mapping(artifacts=chosen), (), source="s").artifacts
    assert artifacts.kinds(confirms=False) == search
    assert artifacts.kinds(confirms=True) == confirmed
    assert artifacts.kinds(confirms=True, winner=True) == (*confirmed, "model")
    assert set(confirmed) <= set(ARTIFACTS)


def test_a_wrong_artifact_is_refused_with_what_is_allowed(study_mapping: Make) -> None:
    said = _refused(study_mapping(artifacts={"embedding": "test"}))
    assert said == "my.yaml: artifacts.embedding: must be 'none', 'confirm' or 'all', got 'test'"
    said = _refused(study_mapping(artifacts={"embeding": "all"}))
    assert (
        "artifacts" in said
        and "did you mean 'embedding'? Allowed: checkpoints, embedding, logits, mistakes, model, offsets" in said
    )


@pytest.mark.parametrize(
    "name",
    [
        "mlflow.db",
        "mlflow.db-journal",
        "mlflow.db-wal",
        "mlflow.db-shm",
        "MLflow.db",
        "mlartifacts",
        "Shared",
        "a.lock",
        "a.partial",
    ],
)
def test_a_study_cannot_take_a_file_of_the_storage_folder(name: str, study_mapping: Make) -> None:
    assert "the storage folder uses these names itself" in _refused(study_mapping(name=name))


@pytest.mark.parametrize("name", ["mlflow", "my-mlflow.db", "shared-2", "block", "lock"])
def test_names_that_only_resemble_those_are_free(name: str, study_mapping: Make) -> None:
    assert checked_spec(study_mapping(name=name), (), source="my.yaml").name == name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"data": [{"dataset": "digits", "folds": 10**9, "profiles": [{"kind": "natural"}]}]},
            "may have 5,000 cells .*, got 1,000,000,000",
        ),
        (
            {"data": [{"dataset": "digits", "profiles": [{"ratio": list(range(1, 5002))}]}], "methods": ["erm"]},
            r"may have 5,000 cells .*, got 5,001",
        ),
        ({"methods": ["erm"] * 201}, "methods: .* at most 200 items"),
        (
            {"data": [{"dataset": "d" * 201, "profiles": [{"kind": "natural"}]}]},
            r"data\[0\].dataset: .* at most 200 characters",
        ),
        ({"data": [{"dataset": "", "profiles": [{"kind": "natural"}]}]}, r"data\[0\].dataset: .* at least 1 character"),
    ],
)
def test_a_study_has_a_limited_size(change: dict[str, Any], said: str, study_mapping: Make) -> None:
    assert re.search(said, _refused(study_mapping(**change)))


def test_values_and_keys_are_shortened_in_messages(study_mapping: Make) -> None:
    message = _refused(study_mapping(**{"name": "x" * 4000, "y" * 4000: 1, "model": {"name": "z" * 4000}}))
    assert "'xxx" in message and "(4,002 characters)" in message and "yyy... (4,000 characters)" in message
    assert len(message) < 2000


def test_the_first_of_many_faults_are_listed(study_mapping: Make) -> None:
    message = _refused(study_mapping(**{f"key{number}": 1 for number in range(3000)}))
    assert len(message.splitlines()) == 21 and message.endswith("and 2980 more faults")


def test_an_unknown_key_of_thousands_is_still_unknown(study_mapping: Make) -> None:
    message = _refused(study_mapping(training={f"key{number}": 1 for number in range(30)}))
    assert "unknown key 'key0'. Allowed: " in message and "training: unknown key" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resources.gpus": 0.5}, r"resources\.gpus: must be 0 or a whole number with 2 workers.*got 0\.5"),
        ({"model": "efficientnet_b0"}, r"resources\.workers: efficientnet_b0 draws random numbers.*must be 1.*got 2"),
        ({"training.compile": "true"}, r"resources\.workers: must be 1 with `training\.compile`, got 2"),
        ({"training.batch_size": 3}, r"resources\.workers: must be at most half of `training\.batch_size` 3, got 2"),
        ({"resources.workers": 0}, r"resources\.workers: must be greater than or equal to 1, got 0"),
    ],
)
def test_a_trial_that_cannot_be_split_is_refused(changes: dict[str, Any], said: str, study_mapping: Make) -> None:
    overrides = tuple(f"{key}={value}" for key, value in {"resources.workers": 2, **changes}.items())
    with pytest.raises(BadInput, match=said):
        checked_spec(study_mapping(), overrides, source="my.yaml")
    assert checked_spec(study_mapping(), ("resources.workers=2",), source="s").resources.workers == 2


def test_a_method_that_tunes_is_refused_beside_a_tuned_model(study_mapping: Make) -> None:
    mapping = study_mapping(methods=["erm", "lora"], model={"name": "transformer-tiny", "tuned": "bias"})
    said = "my.yaml: methods[1]: lora says itself what is trained; leave out the method, or `model.tuned` bias"
    assert _refused(mapping) == said


def test_dropped_entries_cannot_be_split_over_workers(study_mapping: Make) -> None:
    method = {"name": "adaptformer", "preset": "official"}
    mapping = study_mapping(methods=[method], model="transformer-tiny", resources={"workers": 2})
    assert "adaptformer drops entries within the network at random, which cannot be split" in _refused(mapping)
    checked_spec({**mapping, "methods": ["adaptformer"]}, (), source="my.yaml")
