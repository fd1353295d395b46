"""The one table of methods: name -> its typed hyperparameters, its presets and how it is composed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from trainables.composition import Hyperparameters, Plan, Problem
from trainables.config import MethodConfig
from trainables.errors import BadInput, unknown_name
from trainables.families import affinity, margin, plain, reshaped


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        title: what the literature calls it.
        paper: authors, year and the equations that define it.
        values: its typed hyperparameters; their defaults are the preset ``recommended``.
        build: composes head and stages from the values and the problem.
        presets: name -> the values in which it differs from ``recommended``.
        axes: which axes leave their null default.
        deferral: the hyperparameter that says at which fraction of the epochs the last stage begins.
    """

    title: str
    paper: str
    values: type[Hyperparameters]
    build: Callable[[Any, Problem], Plan]
    axes: tuple[str, ...]
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    deferral: str | None = None

    def preset_names(self) -> tuple[str, ...]:
        """Return every preset's name, the default first."""
        return ("recommended", *self.presets)


METHODS: dict[str, Method] = {
    "erm": Method(
        "Empirical risk minimisation", "cross entropy", plain.NoHyperparameters, plain.erm, (), {"paper": {}}
    ),
    "rs": Method(
        "Re-sampling",
        "P(i) proportional to 1/n_y",
        plain.NoHyperparameters,
        plain.resampling,
        ("sampler",),
        {"paper": {}},
    ),
    "focal": Method(
        "Focal loss",
        "Lin et al., 2017, eq 4",
        reshaped.FocalValues,
        reshaped.focal,
        ("loss",),
        {"paper": {}, "ldam-paper": {"gamma": 1.0}},
    ),
    "cce": Method(
        "Complement cross entropy",
        "Kim et al., 2021, eqs 2-5",
        reshaped.ComplementValues,
        reshaped.complement,
        ("loss",),
        {"paper": {}, "official": {"variant": "official"}},
    ),
    "balanced-softmax": Method(
        "Balanced softmax",
        "Ren et al., 2020, eq 3",
        plain.NoHyperparameters,
        reshaped.balanced_softmax,
        ("loss",),
        {"paper": {}},
    ),
    "ldam": Method(
        "Label-distribution-aware margin",
        "Cao et al., 2019, eqs 12-13",
        margin.LdamValues,
        margin.ldam,
        ("loss", "head"),
        {"paper": {}},
    ),
    "ldam-drw": Method(
        "LDAM with deferred re-weighting",
        "Cao et al., 2019, algorithm 1",
        margin.LdamDrwValues,
        margin.ldam_drw,
        ("loss", "head", "class weights", "stages"),
        {"paper": {}},
        deferral="defer_until",
    ),
    "affinity": Method(
        "Gaussian affinity",
        "Hayat et al., 2019, eqs 3, 6-10",
        affinity.AffinityValues,
        affinity.affinity,
        ("loss", "head"),
        {"paper": {"sigma": 10.0, "sigma_unit": "absolute"}},
    ),
}


def method_named(name: str) -> Method:
    """Return a method of the table.

    Raises:
        BadInput: no such method; the nearest name is given.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS)
    return METHODS[name]


def hyperparameters(config: MethodConfig) -> Hyperparameters:
    """Build the typed values of a method: its preset, then what the configuration sets itself.

    Raises:
        BadInput: unknown method, preset or value, or a value out of its range.

    >>> hyperparameters(MethodConfig(name="cce")).gamma
    -1.0
    """
    method = method_named(config.name)
    if config.preset not in method.preset_names():
        raise unknown_name(f"preset of {config.name}", config.preset, method.preset_names())
    merged = {**method.presets.get(config.preset, {}), **config.hyperparameters}
    try:
        return method.values(**merged)
    except ValidationError as error:
        raise BadInput(f"{config.name}: {describe(error)}") from None


def describe(error: ValidationError) -> str:
    """Say in one line what pydantic found: field, what was wanted, what was given."""
    parts = []
    for item in error.errors():
        place = ".".join(str(step) for step in item["loc"])
        said = item["msg"].removeprefix("Value error, ")
        parts.append(f"`{place}` {said}, got {item['input']!r}" if place else said)
    return "; ".join(parts).replace("Input should be", "must be")


def last_switch(config: MethodConfig) -> float:
    """Return the fraction of the epochs at which a method's last stage begins; 0 for a single stage."""
    method = method_named(config.name)
    return float(getattr(hyperparameters(config), method.deferral)) if method.deferral else 0.0


def build_plan(config: MethodConfig, problem: Problem) -> Plan:
    """Compose a method for a problem; the head's weights come from torch's global generator."""
    return method_named(config.name).build(hyperparameters(config), problem)
