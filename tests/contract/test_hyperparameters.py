"""Every hyperparameter of every method: it changes the training, and a value out of its range is refused by name."""

from __future__ import annotations

import math
import types
import typing
from typing import Any

import annotated_types
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from search_spaces import SPACES
from tests.contract.settings import UNDER
from trainables.core.config import MethodConfig
from trainables.core.errors import BadInput
from trainables.data import load
from trainables.methods.registry import METHODS, build_params
from trainables.training.trainer import Trainer

FIELDS = [(name, field) for name, method in METHODS.items() for field in method.params.model_fields]


def _kinds(annotation: Any) -> tuple[Any, ...]:
    union = isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
    return typing.get_args(annotation) if union else (annotation,)


def _another(name: str, field: str, default: Any) -> Any:
    """Return an allowed value that is well away from the default."""
    kinds = _kinds(METHODS[name].params.model_fields[field].annotation)
    for kind in kinds:
        if typing.get_origin(kind) is typing.Literal:
            return next(choice for choice in typing.get_args(kind) if choice != default)
    if bool in kinds:
        return not default
    searched = SPACES[name].get(field)
    if searched is not None:
        return next(value for value in searched.examples if value != default)
    return default // 2 if int in kinds and float not in kinds else default / 2


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_hyperparameter_changes_the_training(name: str, field: str, make_trial: Any) -> None:
    given = UNDER.get((name, field), {})
    under = {key: value for key, value in given.items() if not key.endswith("*")}
    default = getattr(build_params(MethodConfig(name=name, params=under)), field)
    other = given[f"{field}*"] if f"{field}*" in given else _another(name, field, default)
    runs = []
    for value in (default, other):
        chosen = under | {field: value}
        config = make_trial(name, epochs=4)
        config = config.model_copy(update={"method": MethodConfig(name=name, params=chosen)})
        trainer = Trainer(config, load(config.data), torch.device("cpu"))
        records = [trainer.run_epoch() for _ in range(4)]
        runs.append([(r["train_loss"], r["loss"], r["accuracy"], r.get("posthoc_value")) for r in records])
    assert runs[0] != runs[1]


def _outside(field: FieldInfo) -> list[st.SearchStrategy[float]]:
    found = []
    for limit in field.metadata:
        match limit:
            case annotated_types.Gt(gt=bound):
                found.append(st.floats(-1e6, float(bound)))
            case annotated_types.Ge(ge=bound):
                found.append(st.floats(-1e6, float(bound), exclude_max=True))
            case annotated_types.Lt(lt=bound):
                found.append(st.floats(float(bound), 1e6))
            case annotated_types.Le(le=bound):
                found.append(st.floats(float(bound), 1e6, exclude_min=True))
    return found


BOUNDED = [(n, f) for n, f in FIELDS if _outside(METHODS[n].params.model_fields[f])]


@pytest.mark.parametrize(("name", "field"), BOUNDED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_number_out_of_its_range_is_refused_by_name_and_value(name: str, field: str, data: st.DataObject) -> None:
    value = data.draw(st.one_of(_outside(METHODS[name].params.model_fields[field])))
    with pytest.raises(BadInput) as caught:
        build_params(MethodConfig(name=name, params={field: value}))
    said = str(caught.value)
    assert said.startswith(f"{name}: `{field}` must be ")
    assert repr(value) in said


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_what_is_no_value_of_its_kind_is_refused_by_name(name: str, field: str) -> None:
    wrong: list[Any] = ["nonsense", math.nan, math.inf, [1], {}]
    for value in wrong:
        with pytest.raises(BadInput, match=f"`{field}"):
            build_params(MethodConfig(name=name, params={field: value}))
