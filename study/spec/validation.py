"""Validation of a whole study before it starts: names, params, ranges and grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search_spaces import SPACES, Dimension
from search_spaces.grid import check_grid
from study.spec.cell import searched_space
from study.spec.study_spec import MethodSpec, StudySpec
from study.spec.yaml_io import read_yaml, with_overrides
from trainables.components.lr_schedule import ineffective_milestones
from trainables.core.config import MethodConfig, TrainingConfig
from trainables.core.errors import BadInput, unknown_name

_TAGS = {"range", "choices"}


def checked_spec(given: dict[str, Any], overrides: tuple[str, ...], *, source: str) -> StudySpec:
    """Build a StudySpec from the content of a study file.

    Args:
        given: the file's mapping.
        overrides: ``path=value`` pairs that replace parts of it, values in YAML.
        source: the file's name, for error messages.

    Raises:
        BadInput: if the mapping is not a valid study. Faults of the schema are all listed, one per line; of later
            checks, the first one. Each names the file, the key, the allowed values and the given value.
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
        BadInput: if the file is missing, is not YAML or is not a valid study; names file, key and value.
    """
    return checked_spec(read_yaml(path), overrides, source=str(path))


def milestone_note(spec: StudySpec) -> str | None:
    """Return a warning if a milestone of the learning rate has no effect, else None."""
    epochs = spec.training.epochs
    late = ineffective_milestones(spec.training.schedule, epochs)
    if not late:
        return None
    named = ", ".join(f"{m:g} (after {m * epochs:g} of {epochs} epochs)" for m in late)
    return (
        f"training.schedule.milestones: {named} falls inside the last epoch and has no effect: the learning rate "
        f"changes only between epochs; raise training.epochs or lower the milestone"
    )


def error_lines(error: ValidationError) -> list[str]:
    """Format the errors of pydantic, one per line: key, allowed values, given value."""
    lines = []
    places = [fault["loc"] for fault in error.errors()]
    for item in error.errors():
        place, depth = item["loc"], len(item["loc"])
        # pydantic reports a list as too short, too, if its only item is faulty
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
        # pydantic inserts the kind of a dimension before its field; the field `choices` has the name of its kind
        if step not in _TAGS or before in _TAGS:
            path += f"[{step}]" if isinstance(step, int) else f".{step}"
    return path.lstrip(".") or "the file"


def check_method(method: MethodSpec) -> None:
    """Check a method's name, preset, params and search space; ranges are checked by example values.

    Raises:
        BadInput: the first fault, with the values that the method allows.
    """
    from trainables.methods.registry import build_params, method_named

    fields = method_named(method.name).params.model_fields
    build_params(method.config())
    space = method.search if method.search is not None else SPACES[method.name]
    for name, dimension in space.items():
        if name not in fields:
            raise unknown_name(f"searched param of {method.name}", name, fields)
        if method.search is not None and name in method.params:
            raise BadInput(f"`{name}` is set in both `params` and `search`; remove one of them")
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
    if spec.search.budget == "epochs" and spec.search.trials == 1:
        from trainables.methods.registry import method_named

        for method in spec.methods:
            if method_named(method.name).reference is not None:
                raise BadInput(
                    f"{source}: search.trials: must be at least 2 with `budget: epochs`, got 1: a trial of "
                    f"{method.name} costs twice `training.epochs`, since it trains a reference network too"
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
