"""Validation of a whole study before it starts: names, params, ranges and grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from search_spaces import SPACES, Dimension
from search_spaces.grid import check_grid
from study.spec.cell import searched_space
from study.spec.every_fault import Examined, examine, unknown_keys
from study.spec.misplaced_keys import answer
from study.spec.study_plugins import activate_given
from study.spec.study_spec import MOST_CELLS, MethodSpec, StudySpec
from study.spec.yaml_io import read_yaml, with_overrides
from trainables.backbones import architecture_of
from trainables.backbones.backbone_names import EFFICIENTNETS
from trainables.backbones.timm_names import is_timm
from trainables.components.lr_schedule import ineffective_milestones
from trainables.components.optimizers import check_optimizer_settings
from trainables.core.config import MethodConfig, TrainingConfig
from trainables.core.errors import BadInput, shown, unknown_name
from trainables.core.storage_path import StoragePath

_TAGS = {"range", "choices"}
_FILE = "the file"
_MOST_FAULTS = 20
"""Faults that one message lists."""
_LONGEST_FAULT = 2_000
"""Characters of one fault; the longest lists all methods."""


def checked_spec(
    given: dict[str, Any], overrides: tuple[str, ...], *, source: str, folder: StoragePath | None = None
) -> StudySpec:
    """Build a StudySpec from the content of a study file.

    Args:
        given: the file's mapping.
        overrides: ``path=value`` pairs that replace parts of it, values in YAML.
        source: the file's name, for error messages.
        folder: where paths of plug-ins count from: those of the study, and no others, become active in this process.
            None runs no code of a plug-in and looks up no network of timm, to read a stored study.

    Raises:
        BadInput: if the mapping is not a valid study; its faults are all listed, one per line. Each line names the
            file, the key, the allowed values and the given value.
    """
    mapping = with_overrides(given, overrides)
    if folder is not None:
        try:
            activate_given(mapping, folder)
        except BadInput as error:
            raise BadInput(f"{source}: plugins: {error}") from None
    examined = examine(mapping)
    faults = _lines(examined.faults)
    if examined.spec is not None:
        faults += _faults_of_names(examined.spec, examined, look_up=folder is not None)
    if faults or examined.spec is None:
        raise BadInput("\n".join(f"{source}: {fault}" for fault in _first(faults)))
    return examined.spec


def _first(faults: list[str]) -> list[str]:
    """Return the first faults, each once and not too long, and how many more there are."""
    single = list(dict.fromkeys(faults))
    more = [f"and {len(single) - _MOST_FAULTS} more faults"] if len(single) > _MOST_FAULTS else []
    return [shown(fault, _LONGEST_FAULT) for fault in single[:_MOST_FAULTS]] + more


def _faults_of_names(spec: StudySpec, examined: Examined, *, look_up: bool) -> list[str]:
    """Return the faults that the schema cannot see, of all parts that are sound for the schema."""
    if spec.number_of_cells > MOST_CELLS:
        parts = "data sets x profiles x folds x methods"
        return [f"data: a study may have {MOST_CELLS:,} cells ({parts}), got {spec.number_of_cells:,}"]
    faults: list[str] = []
    for number, method in enumerate(spec.methods):
        if len(faults) <= _MOST_FAULTS and examined.is_sound("methods", number):
            faults += [f"methods[{number}]: {fault}" for fault in method_faults(method)]
    if examined.is_sound("model"):
        faults += _faults_of_model(spec, look_up=look_up)
        faults += [
            f"methods[{number}]: {fault}"
            for number, method in enumerate(spec.methods)
            if examined.is_sound("methods", number) and (fault := _tuned_twice(method, spec)) is not None
        ]
    if examined.is_sound("training"):
        faults += _optimizer_faults(spec.training)
        for name, dimension in spec.search.training.items():
            faults += _training_faults(spec, name, dimension)
    if examined.is_sound("resources") and examined.is_sound("training"):
        faults += _faults_of_workers(spec)
    # rules between keys mean something only if all keys do
    return faults if faults or examined.faults else _search_faults(spec)


def _tuned_twice(method: MethodSpec, spec: StudySpec) -> str | None:
    """Return why a method and the model's `tuned` do not go together, or None."""
    from trainables.methods.registry import METHODS

    if spec.model.tuned is None or method.name not in METHODS or METHODS[method.name].tuning is None:
        return None
    return f"{method.name} says itself what is trained; leave out the method, or `model.tuned` {spec.model.tuned.scope}"


def _faults_of_model(spec: StudySpec, *, look_up: bool) -> list[str]:
    """Return why there is no such network. One of timm is looked up, which imports timm, only to run a study."""
    if is_timm(spec.model.name) and not look_up:
        return []
    try:
        architecture_of(spec.model.name, spec.model.options)
    except BadInput as error:
        return [f"model: {error}"]
    return []


def _faults_of_workers(spec: StudySpec) -> list[str]:
    """Return why a trial of this study cannot be split over the workers that it asks for."""
    resources, faults = spec.resources, []
    if resources.workers == 1:
        return []
    if 0 < resources.gpus < 1:
        faults.append(
            f"resources.gpus: must be 0 or a whole number with {resources.workers} workers, which cannot share a GPU, "
            f"got {resources.gpus:g}"
        )
    if spec.model.name in EFFICIENTNETS:
        faults.append(
            f"resources.workers: {spec.model.name} draws random numbers for every image of a batch within the network, "
            f"which cannot be split; must be 1 with it, got {resources.workers}"
        )
    faults += [
        f"resources.workers: {method.name} drops entries within the network at random, which cannot be split; must be "
        f"1 with `dropout` above 0, got {resources.workers}"
        for method in spec.methods
        if _drops(method)
    ]
    if spec.training.compile:
        faults.append(f"resources.workers: must be 1 with `training.compile`, got {resources.workers}")
    if spec.training.batch_size < 2 * resources.workers:
        faults.append(
            f"resources.workers: must be at most half of `training.batch_size` {spec.training.batch_size}, got "
            f"{resources.workers}"
        )
    return faults


def _drops(method: MethodSpec) -> bool:
    """Return True if a method's setting or its search drops entries within the backbone."""
    from trainables.methods.registry import build_params

    try:
        drops = getattr(build_params(method.config()), "dropout", 0.0) > 0
    except BadInput:  # another fault says so
        return False
    return drops or "dropout" in (method.search or {})


def load_spec(path: Path, overrides: tuple[str, ...] = ()) -> StudySpec:
    """Read and check a study file.

    Args:
        path: the YAML file.
        overrides: ``path=value`` pairs that replace parts of it, values in YAML.

    Raises:
        BadInput: if the file is missing, is not YAML or is not a valid study; names file, key and value.
    """
    return checked_spec(read_yaml(path), overrides, source=str(path), folder=path.parent)


def milestone_note(spec: StudySpec) -> str | None:
    """Return a warning if a milestone of the learning rate has no effect, else None."""
    epochs = spec.training.epochs
    late = ineffective_milestones(spec.training.schedule, epochs)
    if not late:
        return None
    named = ", ".join(f"{m:g} (after {m * epochs:g} of {epochs} epochs)" for m in late)
    return (
        f"training.schedule.milestones: {named} {'fall' if len(late) > 1 else 'falls'} inside the last epoch and "
        f"{'have' if len(late) > 1 else 'has'} no effect: the learning rate "
        f"changes only between epochs; raise training.epochs or lower the milestone (the default schedule has some, "
        f"too)"
    )


def fine_tunes(spec: StudySpec) -> bool:
    """Return True if a study trains a part of its network alone, by a method or for all of them."""
    return spec.model.tuned is not None or bool(_tuning_methods(spec))


def _tuning_methods(spec: StudySpec) -> list[str]:
    from trainables.methods.registry import method_named

    return list(dict.fromkeys(each.name for each in spec.methods if method_named(each.name).tuning is not None))


def random_weights_note(spec: StudySpec) -> str | None:
    """Return a warning if a study fine-tunes a part of a network whose weights are random, else None."""
    if spec.model.weights is not None or not fine_tunes(spec):
        return None
    who = f"`tuned` {spec.model.tuned.scope}" if spec.model.tuned is not None else ", ".join(_tuning_methods(spec))
    return (
        f"model.weights: under {who} a small part of {spec.model.name} is trained, and the rest keeps its random "
        "weights; give it pretrained ones"
    )


def error_lines(error: ValidationError) -> list[str]:
    """Format the errors of pydantic, one per line: key, allowed values, given value."""
    return _lines(error.errors())


def _lines(faults: list[ErrorDetails]) -> list[str]:
    lines = []
    places = [fault["loc"] for fault in faults]
    for item in faults:
        place, depth = item["loc"], len(item["loc"])
        if unknown := unknown_keys(item):
            path = _path(place)
            for key, message in unknown.items():
                known = answer("" if path == _FILE else path, key)
                if known is None or f"did you mean '{known.rpartition('.')[2]}'" in message:
                    known = f"{path}: {message}"
                lines.append(known)
            continue
        # pydantic reports a list as too short, too, if its only item is faulty
        if item["type"] == "too_short" and any(p[:depth] == place and len(p) > depth for p in places):
            continue
        said = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
        given = item["input"]
        secret = place[:1] == ("records",) and isinstance(given, str)  # what is no URL may hold a password
        plain = isinstance(given, (str, int, float, bool)) and f"'{given}'" not in said and not secret
        got = f", got {shown(repr(given))}" if plain else ""
        lines.append(f"{_path(item['loc'])}: {said}{got}")
    return lines


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for before, step in zip(("", *location), location, strict=False):
        # pydantic inserts the kind of a dimension before its field; the field `choices` has the name of its kind
        if step not in _TAGS or before in _TAGS:
            path += f"[{step}]" if isinstance(step, int) else f".{shown(step)}"
    return path.lstrip(".") or _FILE


def method_faults(method: MethodSpec) -> list[str]:
    """Return the faults of a method's name, preset, params and search space, each with what the method allows.

    Ranges are checked by example values.
    """
    from trainables.methods.registry import build_params, method_named

    try:
        fields = method_named(method.name).params.model_fields
    except BadInput as error:
        return [str(error)]  # without the method nothing else is known
    faults = []
    try:
        build_params(method.config())
    except BadInput as error:
        faults.append(str(error))
    space = method.search if method.search is not None else SPACES[method.name]
    for name, dimension in space.items():
        if name not in fields:
            faults.append(str(unknown_name(f"searched param of {method.name}", name, fields)))
        elif method.search is not None and name in method.params:
            faults.append(f"`{name}` is set in both `params` and `search`; remove one of them")
        elif not faults:  # values are built together: a faulty one would be found again with every other
            faults += _value_faults(method, name, dimension)
    return faults


def _value_faults(method: MethodSpec, name: str, dimension: Dimension) -> list[str]:
    """Return the first fault of a dimension's example values."""
    from trainables.methods.registry import build_params

    for value in dimension.examples:
        try:
            params = {**method.params, name: value}
            build_params(MethodConfig(name=method.name, preset=method.preset, params=params))
        except BadInput as error:
            return [f"search.{name}: {error}"]
    return []


def _optimizer_faults(training: TrainingConfig) -> list[str]:
    try:
        check_optimizer_settings(training)
    except BadInput as error:
        return [f"training: {error}"]
    return []


def _training_faults(spec: StudySpec, name: str, dimension: Dimension) -> list[str]:
    from trainables.methods.registry import describe

    if getattr(spec.training, name) is None:
        return [f"search.training.{name}: `training.{name}` must be given, too: it is the value of the first trial"]
    for value in dimension.examples:
        try:
            training = TrainingConfig.model_validate({**spec.training.model_dump(), name: value})
        except ValidationError as error:
            return [f"search.training.{name}: {describe(error)}"]
        if _optimizer_faults(training) and not _optimizer_faults(spec.training):
            return [f"search.training.{name}: the optimizer {training.optimizer} has no `{name}`; leave it out"]
    return []


def _search_faults(spec: StudySpec) -> list[str]:
    faults = []
    epochs, total = spec.training.epochs, spec.search.epochs_total
    if total is not None and total < epochs:
        faults.append(
            f"search.epochs_total: must be at least the {epochs} epochs of one trial (`training.epochs`), got {total}"
        )
    if spec.search.budget == "epochs" and spec.search.trials == 1:
        from trainables.methods.registry import method_named

        faults += [
            f"search.trials: must be at least 2 with `budget: epochs`, got 1: a trial of {method.name} costs twice "
            "`training.epochs`, since it trains a reference network too"
            for method in spec.methods
            if method_named(method.name).reference is not None
        ]
    if spec.search.searcher == "grid":
        try:
            check_grid([(m.label or m.name, searched_space(m, spec)) for m in spec.methods], spec.search.grid_points)
        except BadInput as error:
            faults.append(f"search.searcher: {error}")
    return faults
