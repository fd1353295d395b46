"""The one table of methods: name -> its object. Each object stands in the file of its family."""

from __future__ import annotations

import importlib
import pkgutil

import annotated_types
from pydantic import ValidationError
from pydantic.fields import FieldInfo

import trainables.methods
from trainables.components.lr_schedule import stage_start
from trainables.core.config import MethodConfig, TrialConfig
from trainables.core.derived_seeds import derive_seed
from trainables.core.errors import BadInput, unknown_name
from trainables.core.plugin_table import Table
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan


def _families() -> dict[str, list[Method]]:
    """Return the methods in every file of this package: those of `baselines` first, then by the file's name.

    Raises:
        ValueError: two methods have one name, or one object stands in two files.
    """
    families: dict[str, list[Method]] = {}
    seen: set[str] = set()
    stems = sorted(module.name for module in pkgutil.iter_modules(trainables.methods.__path__))
    for stem in sorted(set(stems) - {"registry"}, key=lambda stem: (stem != "baselines", stem)):
        module = importlib.import_module(f"trainables.methods.{stem}")
        for method in (value for value in vars(module).values() if isinstance(value, Method)):
            if method.name in seen:
                raise ValueError(
                    f"{module.__name__}: the method '{method.name}' stands in another file, too: import "
                    "the file, not the method, and give no two methods one name"
                )
            seen.add(method.name)
            families.setdefault(stem, []).append(method)
    return families


_FAMILIES = _families()
METHODS: Table[Method] = Table(
    "methods", Method, {method.name: method for methods in _FAMILIES.values() for method in methods}
)
"""Name -> method: every `Method` in the files of this package, then those of plug-ins."""


def method_named(name: str) -> Method:
    """Return a method of the table.

    Raises:
        BadInput: no such method; the nearest name is given.
    """
    if name not in METHODS:
        methods = [METHODS[known] for known in METHODS]
        also_called = {title: method.name for method in methods for title in (method.title, *method.also_called)}
        raise unknown_name("method", name, METHODS, also_called)
    return METHODS[name]


def family_of(name: str) -> str:
    """Return the name of the file of this package that holds a method, without ``.py``.

    >>> family_of("elm-drw")
    'ldam'
    """
    return next(family for family, methods in _FAMILIES.items() if METHODS[name] in methods)


def file_of(name: str) -> str:
    """Return the path of the file that holds a method, from the folder of this project; of a plug-in, its own path."""
    source = METHODS.source_of(name)
    return f"trainables/methods/{family_of(name)}.py" if source is None else str(source.path)


def build_params(config: MethodConfig) -> Hyperparameters:
    """Build the typed params of a method: its preset, then what the configuration sets itself.

    Raises:
        BadInput: unknown method, preset or value, or a value out of its range.

    >>> build_params(MethodConfig(name="cce")).gamma
    -1.0
    """
    method = method_named(config.name)
    if config.preset not in method.preset_names():
        raise unknown_name(f"preset of {config.name}", config.preset, method.preset_names())
    merged = {**method.presets.get(config.preset, {}), **config.params}
    try:
        return method.params(**merged)
    except ValidationError as error:
        raise BadInput(f"{config.name}: {describe(error, method.params)}") from None


def softmax_scale(config: MethodConfig) -> float:
    """Return the factor of a head's logits before the softmax of its loss: `scale` of losses on cosines, else 1.

    >>> softmax_scale(MethodConfig(name="ldam", params={"scale": 20})), softmax_scale(MethodConfig(name="erm"))
    (20.0, 1.0)
    """
    return float(getattr(build_params(config), "scale", 1.0))


def describe(error: ValidationError, params: type[Hyperparameters] | None = None) -> str:
    """Say in one line what pydantic found: field, what was wanted, what was given, and the range it lies in."""
    parts = []
    for item in error.errors():
        place = ".".join(str(step) for step in item["loc"])
        said = item["msg"].removeprefix("Value error, ")
        allowed = _range_of(params.model_fields.get(place)) if params is not None else ""
        parts.append(f"`{place}` {said}, got {item['input']!r}{allowed}" if place else said)
    return "; ".join(parts).replace("Input should be", "must be")


def _range_of(field: FieldInfo | None) -> str:
    """Return the range of a number with two ends, for a message that names the broken end alone."""
    ends: dict[str, str] = {}
    for limit in field.metadata if field is not None else ():
        match limit:
            case annotated_types.Gt(gt=bound):
                ends["low"] = f"({bound}"
            case annotated_types.Ge(ge=bound):
                ends["low"] = f"[{bound}"
            case annotated_types.Lt(lt=bound):
                ends["high"] = f"{bound})"
            case annotated_types.Le(le=bound):
                ends["high"] = f"{bound}]"
    return f" (allowed: {ends['low']}, {ends['high']})" if len(ends) == 2 else ""


def last_stage_start(config: MethodConfig) -> float:
    """Return the fraction of the epochs at which a method's last stage begins; 0 for a single stage."""
    method = method_named(config.name)
    return float(getattr(build_params(config), method.defer_field)) if method.defer_field else 0.0


def changes_stage(config: TrialConfig) -> bool:
    """Return True if a trial's method changes its stage at some epoch; post-hoc methods and plain ones do not."""
    return method_named(config.method.name).defer_field is not None


def selectable_after(config: TrialConfig) -> int:
    """Return the number of epochs before a trial's last stage; its best epoch is selected among the later ones."""
    return stage_start(last_stage_start(config.method), config.training.epochs)


def prefix_of(config: MethodConfig) -> MethodConfig | None:
    """Return the plain method that a method's first stages repeat, with the params it takes, or None."""
    method = method_named(config.name)
    if method.shared_prefix is None:
        return None
    plain = method.shared_prefix.method or method
    params = method.shared_prefix.params
    if params is None:
        params = build_params(config).model_dump(include=set(plain.params.model_fields))
    return MethodConfig(name=plain.name, params=dict(params))


def shared_prefix_of(config: TrialConfig) -> tuple[TrialConfig, int] | None:
    """Return the training that a trial's first stages repeat and its number of epochs, or None."""
    method, epochs = method_named(config.method.name), config.training.epochs
    if method.shared_prefix is None:
        return None
    switch = stage_start(last_stage_start(config.method), epochs)
    if method.defer_field is None:  # it changes the trained head alone: only its last epoch is its own
        switch = epochs - 1
    shared_prefix = config.model_copy(update={"method": prefix_of(config.method)})
    return (shared_prefix, switch) if switch > 0 else None  # a preset may begin with the last stage


def reference_of(config: TrialConfig, seed: int | None = None) -> TrialConfig | None:
    """Return the whole training whose network a trial needs beside its own, or None.

    Args:
        config: of the trial.
        seed: of the reference, for its weights, order and augmentation; None derives one from the trial's seed, so
            that the reference is independent of the trial's network and all trials of one seed share it.
    """
    name = method_named(config.method.name).reference
    if name is None:
        return None
    own = derive_seed(config.seed, 0, "reference") if seed is None else seed
    return config.model_copy(update={"method": MethodConfig(name=name), "seed": own})


def build_plan(config: MethodConfig, context: MethodContext) -> Plan:
    """Compose a method for a problem; the head's weights come from torch's global generator."""
    return method_named(config.name).build(build_params(config), context)
