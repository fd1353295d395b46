from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import pytest

from search_spaces import SPACES, Range
from study.spec.cell import baseline_of, expand, profile_name
from study.spec.study_spec import StudySpec
from trainables.core.config import DataConfig, ProfileConfig
from trainables.core.errors import BadInput
from trainables.methods.registry import METHODS, build_params

MakeSpec = Callable[..., StudySpec]
LR = {"lr": {"low": 0.01, "high": 0.5, "scale": "log"}}


def test_the_baseline_is_the_first_erm_under_its_label(make_spec: MakeSpec) -> None:
    methods = ["cce", {"name": "erm", "label": "plain"}, "erm"]
    assert baseline_of(expand(make_spec(methods=methods))) == "plain"
    assert baseline_of(expand(make_spec(methods=["cce", "focal"]))) is None


def _names(spec: StudySpec) -> list[str]:
    return [cell.name for cell in expand(spec)]


def test_the_grid_is_every_data_set_profile_and_method_in_the_order_of_the_file(make_spec: MakeSpec) -> None:
    data = [
        {"dataset": "digits", "profiles": [{"ratio": [10, 50]}, {"kind": "step", "ratio": 5, "minority": "odd"}]},
        {"dataset": "digits", "label": "noisy", "label_noise": 0.2, "profiles": [{"kind": "natural"}]},
    ]
    assert _names(make_spec(data=data, methods=["erm", "cce"])) == [
        "digits/long_tail-10/erm",
        "digits/long_tail-10/cce",
        "digits/long_tail-50/erm",
        "digits/long_tail-50/cce",
        "digits/step-odd-5/erm",
        "digits/step-odd-5/cce",
        "noisy/natural/erm",
        "noisy/natural/cce",
    ]


@pytest.mark.parametrize(
    ("profile", "name"),
    [
        ({"kind": "long_tail", "ratio": 100}, "long_tail-100"),
        ({"kind": "long_tail", "ratio": 12.5}, "long_tail-12.5"),
        ({"kind": "step", "ratio": 10}, "step-10"),
        ({"kind": "step", "ratio": 10, "minority": "first"}, "step-first-10"),
        ({"kind": "fraction", "ratio": 4, "minority": "even"}, "fraction-even-4"),
        ({"kind": "natural"}, "natural"),
    ],
)
def test_profiles_are_named_by_kind_minority_and_ratio(profile: dict[str, Any], name: str) -> None:
    assert profile_name(DataConfig(dataset="digits", profile=ProfileConfig(**profile))) == name


def test_label_noise_is_in_the_name(make_spec: MakeSpec) -> None:
    data = [{"dataset": "digits", "label_noise": 0.1, "profiles": [{"ratio": 10}]}]
    assert _names(make_spec(data=data)) == ["digits-noise0.1/long_tail-10/cce"]


def test_a_method_twice_needs_a_label(make_spec: MakeSpec) -> None:
    twice = [{"name": "cce"}, {"name": "cce", "preset": "official"}]
    with pytest.raises(BadInput, match=r"two cells are named digits/long_tail-10/cce: give one .* a `label`"):
        expand(make_spec(methods=twice))
    twice[1]["label"] = "cce-official"
    assert _names(make_spec(methods=twice)) == ["digits/long_tail-10/cce", "digits/long_tail-10/cce-official"]


def test_a_data_set_twice_needs_a_label(make_spec: MakeSpec) -> None:
    one = {"dataset": "digits", "profiles": [{"ratio": 10}]}
    with pytest.raises(BadInput, match="two cells are named"):
        expand(make_spec(data=[one, {**one, "subset_seed": 1}]))
    assert len(expand(make_spec(data=[one, {**one, "subset_seed": 1, "label": "other"}]))) == 2


def test_ratios_that_print_alike_are_refused(make_spec: MakeSpec) -> None:
    with pytest.raises(BadInput, match="two cells"):
        expand(make_spec("data.0.profiles.0.ratio=[10, 10.000001]"))


def test_a_cell_name_is_a_relative_path(make_spec: MakeSpec) -> None:
    for name in _names(make_spec(methods=list(METHODS))):
        assert not PurePosixPath(name).is_absolute()
        assert len(PurePosixPath(name).parts) == 3
        assert ".." not in PurePosixPath(name).parts


def test_a_cell_carries_the_whole_configuration(make_spec: MakeSpec) -> None:
    spec = make_spec("seed=7", "data.0.protocol=m2m", "data.0.subset_seed=3", "training.momentum=0.8")
    (cell,) = expand(spec)
    assert cell.base.training == spec.training
    assert cell.base.model.name == "mlp"
    assert cell.base.seed == 7
    assert (cell.base.data.protocol, cell.base.data.subset_seed) == ("m2m", 3)
    assert (cell.dataset, cell.profile, cell.method, cell.ratio) == ("digits", "long_tail-10", "cce", 10)


def test_the_space_is_the_methods_own_and_that_of_the_training(make_spec: MakeSpec) -> None:
    (cell,) = expand(make_spec(methods=["ldam-drw"], search={"training": LR}))
    assert list(cell.space) == [*SPACES["ldam-drw"], "training.lr"]


def test_values_set_by_hand_are_not_searched(make_spec: MakeSpec) -> None:
    (cell,) = expand(make_spec(methods=[{"name": "ldam-drw", "params": {"beta": 0.99}}]))
    assert "beta" not in cell.space
    assert build_params(cell.base.method).model_dump()["beta"] == 0.99
    assert build_params(cell.trial({"max_margin": 0.7}, 1).method).model_dump()["beta"] == 0.99


def test_a_search_of_ones_own_replaces_the_space(make_spec: MakeSpec) -> None:
    own = {"gamma": {"low": -2, "high": -1}}
    (cell,) = expand(make_spec(methods=[{"name": "cce", "search": own}]))
    assert cell.space == {"gamma": Range(low=-2, high=-1)}
    (nothing,) = expand(make_spec(methods=[{"name": "cce", "search": {}}]))
    assert nothing.space == {}


def test_the_papers_values_are_the_presets(make_spec: MakeSpec) -> None:
    (cell,) = expand(make_spec(methods=[{"name": "affinity", "preset": "paper"}], search={"training": LR}))
    paper = cell.preset_params()
    assert paper["sigma"] == 10.0
    assert paper["training.lr"] == 0.05
    assert set(paper) == set(cell.space)


def test_a_trial_takes_its_values_and_keeps_the_rest(make_spec: MakeSpec) -> None:
    (cell,) = expand(make_spec(search={"training": LR}))
    trial = cell.trial({"gamma": -3.0, "training.lr": 0.2}, 5)
    assert trial.method.params == {"gamma": -3.0}
    assert trial.training.lr == 0.2
    assert trial.training.model_copy(update={"lr": 0.05}) == cell.base.training
    assert (trial.data, trial.model, trial.seed) == (cell.base.data, cell.base.model, cell.base.seed)


def test_a_cell_with_nothing_to_search_repeats_over_seeds(make_spec: MakeSpec) -> None:
    (cell,) = expand(make_spec("seed=3", methods=["erm"]))
    assert [cell.trial({}, number).seed for number in range(3)] == [3, 4, 5]


def test_decisions_wait_for_the_last_stage(make_spec: MakeSpec) -> None:
    plain, deferred, early = expand(
        make_spec(
            methods=["ldam", "ldam-drw", {"name": "ldam-drw", "label": "early", "params": {"defer_until": 0.3}}],
        )
    )
    assert [cell.pruning_start_epoch for cell in (plain, deferred, early)] == [0, 8, 3]


def test_decisions_wait_for_the_latest_switch_that_is_searched(make_spec: MakeSpec) -> None:
    search = {"defer_until": {"low": 0.2, "high": 0.9}}
    (cell,) = expand(make_spec(methods=[{"name": "ldam-drw", "search": search}]))
    assert cell.pruning_start_epoch == 9
    choices = {"defer_until": {"choices": [0.5, 0.3]}}
    (cell,) = expand(make_spec(methods=[{"name": "ldam-drw", "search": choices}]))
    assert cell.pruning_start_epoch == 5


def test_the_first_decision_lies_within_a_short_budget(make_spec: MakeSpec) -> None:
    (cell,) = expand(make_spec("training.epochs=1", methods=["ldam-drw"]))
    assert cell.pruning_start_epoch == 0


def test_every_fold_is_a_cell_and_proposes_like_the_others(make_spec: MakeSpec) -> None:
    data = [{"dataset": "digits", "folds": 3, "profiles": [{"kind": "natural"}, {"ratio": 5}]}]
    cells = expand(make_spec(data=data))
    assert [cell.name for cell in cells] == [
        f"digits/{profile}-fold{fold}of3/cce" for profile in ("natural", "long_tail-5") for fold in (1, 2, 3)
    ]
    assert [cell.base.data.fold for cell in cells] == [0, 1, 2, 0, 1, 2]
    assert {cell.name_without_fold for cell in cells[:3]} == {"digits/natural/cce"}
    assert {cell.base.data.subset_seed for cell in cells} == {0}
    plain = expand(make_spec())[0]
    assert plain.name_without_fold == plain.name


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("data.0.folds=1",), r"data\[0\]\.folds: .*greater than or equal to 2"),
        (("data.0.folds=3", "data.0.protocol=m2m"), r"data\[0\]: `folds` needs protocol holdout, got m2m"),
        (("data.0.folds=3", "data.0.validation_fraction=0.3"), r"`validation_fraction` must be omitted with `folds`"),
        (("data.0.folds=3", "confirm={seeds: 2}"), r"`confirm` must be omitted with `data\[0\]\.folds`"),
    ],
)
def test_folds_that_contradict_the_rest_are_refused(make_spec: MakeSpec, overrides: tuple[str, ...], said: str) -> None:
    data = [{"dataset": "digits", "profiles": [{"ratio": 10}]}]
    with pytest.raises(BadInput, match=said):
        make_spec(*overrides, data=data)
