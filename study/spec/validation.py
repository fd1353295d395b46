"""Check a study as a whole before anything starts: names, values, ranges, cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search_spaces import SPACES, Dimension
from search_spaces.grid import check_grid
from study.spec.cell import searched_space
from study.spec.study_spec import MethodSpec, StudySpec
from study.spec.yaml_io import read_yaml, with_overrides
from trainables.core.config import MethodConfig, TrainingConfig
from trainables.core.errors import BadInput, unknown_name

_TAGS = {"range", "choices"}


def checked_spec(given: dict[str, Any], overrides: tuple[str, ...], *, source: str) -> StudySpec:
    """Build a StudySpec from what a file held.

    Args:
        given: the file's mapping.
        overrides: ``path=value`` pairs.
        source: the file's name, for messages.

    Raises:
        BadInput: every fault found, a line each: file, path in it, what is allowed, what was given.
    """
    try:
        spec = StudySpec.model_validate(with_overrides(given, overrides))
    except ValidationError as error:
        raise BadInput("\n".join(f"{source}: {line}" for line in error_lines(error))) from None
    for number, method in enumerate(spec.methods):
        try:
            check_method(method)
        except BadInput as error:
            raise BadInput(f"{source}: methods[{number}]: {error}") from None
    _check_model(spec, source)
    for name, dimension in spec.search.training.items():
        _check_training(spec, name, dimension, source)
    _check_search(spec, source)
    return spec


def load_spec(path: Path, overrides: tuple[str, ...] = ()) -> StudySpec:
    """Read and check a study file.

    Args:
        path: the YAML file.
        overrides: ``path=value`` pairs that replace parts of it, values in YAML.

    Raises:
        BadInput: no such file, not YAML, or a value that cannot be; names file, path and value.
    """
    return checked_spec(read_yaml(path), overrides, source=str(path))


def error_lines(error: ValidationError) -> list[str]:
    """Say what pydantic found, a line each: path, what is allowed, what was given."""
    lines = []
    places = [fault["loc"] for fault in error.errors()]
    for item in error.errors():
        place, depth = item["loc"], len(item["loc"])
        # a list whose only item is faulty is also reported as too short
        if item["type"] == "too_short" and any(p[:depth] == place and len(p) > depth for p in places):
            continue
        said = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        given = item["input"]
        plain = isinstance(given, (str, int, float, bool)) and f"'{given}'" not in said
        shown = f", got {given!r}" if plain else ""
        lines.append(f"{_path(item['loc'])}: {said}{shown}")
    return lines


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for before, step in zip(("", *location), location, strict=False):
        # pydantic names the kind of a dimension before its field, and one field is named like its kind
        if step not in _TAGS or before in _TAGS:
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.lstrip(".") or "the file"


def check_method(method: MethodSpec) -> None:
    """Check a method's name, preset, values and searched ranges, by examples of what each holds.

    Raises:
        BadInput: the first fault; the method's own bounds say what is allowed.
    """
    from trainables.methods.registry import build_params, method_named

    fields = method_named(method.name).params.model_fields
    build_params(method.config())
    space = method.search if method.search is not None else SPACES[method.name]
    for name, dimension in space.items():
        if name not in fields:
            raise unknown_name(f"searched value of {method.name}", name, fields)
        if method.search is not None and name in method.params:
            raise BadInput(f"`{name}` stands under both `values` and `search`; it can be only one of them")
        for value in dimension.examples:
            _check_value(method, name, value)


def _check_value(method: MethodSpec, name: str, value: Any) -> None:
    from trainables.methods.registry import build_params

    values = {**method.params, name: value}
    try:
        build_params(MethodConfig(name=method.name, preset=method.preset, params=values))
    except BadInput as error:
        raise BadInput(f"search.{name}: {error}") from None


def _check_training(spec: StudySpec, name: str, dimension: Dimension, source: str) -> None:
    from trainables.methods.registry import describe

    for value in dimension.examples:
        try:
            TrainingConfig.model_validate({**spec.training.model_dump(), name: value})
        except ValidationError as error:
            raise BadInput(f"{source}: search.training.{name}: {describe(error)}") from None


def _check_search(spec: StudySpec, source: str) -> None:
    epochs, total = spec.training.epochs, spec.search.epochs_total
    if total is not None and total < epochs:
        raise BadInput(
            f"{source}: search.epochs_total: must be at least the {epochs} epochs of one trial (`training.epochs`), "
            f"got {total}"
        )
    if spec.search.searcher == "grid":
        try:
            check_grid([(m.label or m.name, searched_space(m, spec)) for m in spec.methods], spec.search.grid_points)
        except BadInput as error:
            raise BadInput(f"{source}: search.searcher: {error}") from None


def _check_model(spec: StudySpec, source: str) -> None:
    from trainables.backbones import MODELS

    if spec.model.name not in MODELS:
        raise BadInput(f"{source}: model: {unknown_name('model', spec.model.name, MODELS)}")
