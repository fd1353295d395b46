"""A method as one object: its name, params, presets, source, equation and composition."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.core.config import TunedScope
from trainables.methods.boundary_shift import BoundaryShift
from trainables.methods.plan import Hyperparameters, MethodContext, Plan

NAME = r"[a-z0-9][a-z0-9-]{0,63}"
Presets = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class SharedPrefix:
    """The plain training that a method repeats before anything of its own acts.

    Attributes:
        method: the plain method, of one stage; None is the method itself, under ``params``.
        params: what the plain method is given; None gives it those of its params that the repeating method has, by
            name.
    """

    method: Method | None
    params: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class EpochMetric:
    """A metric that a method reports of every epoch of its own stage, beside those of `metric_names.METRICS`.

    Attributes:
        description: one line, for tables and documents.
        notice_below: reports give ``notice`` for a trial whose last value is smaller; None never gives it.
        notice: one clause on what such a trial is in effect.
    """

    description: str
    notice_below: float | None = None
    notice: str = ""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One method. An object of this class in a file of `trainables.methods` or in a plug-in is all that it takes.

    Attributes:
        name: its name in study files: lower-case letters, digits and hyphens.
        title: its name in the literature.
        paper: authors, year and the equations that define it.
        equation: its loss in one line, in the symbols of docs/methods.md.
        params: its typed hyperparameters; their defaults are the preset ``recommended``.
        build: composes the plan from the params and the context; torch is imported inside.
        presets: name -> the params in which it differs from ``recommended``; one is called ``paper``.
        defer_field: the param with the fraction of the epochs at which the last stage begins.
        shared_prefix: the training that the stages before the last repeat; params that it does not take act only in
            the last stage. A post-hoc method repeats it whole and changes only the trained head. None shares nothing.
        reference: the method whose trained network it needs beside its own.
        boundary_shift: the nats by which margins or priors move the boundary between the largest and the smallest
            class, from params and ratio; None where it cannot be computed from them.
        epoch_metrics: name -> metric of those that `Stage.epoch_metrics` of its plan reports.
        given_in_part: the parts of the published method that are left out; empty if none.
        tuning: the scope of the plan's `tuning`, so that a study is checked without torch; None if the plan has none.
        also_called: its names in other programs, lower case with hyphens; an error about such a name gives ``name``.
    """

    name: str
    title: str
    paper: str
    equation: str
    params: type[Hyperparameters]
    build: Callable[[Any, MethodContext], Plan]
    presets: Presets = field(default_factory=lambda: {"paper": {}})
    defer_field: str | None = None
    shared_prefix: SharedPrefix | None = None
    reference: str | None = None
    boundary_shift: BoundaryShift | None = None
    epoch_metrics: Mapping[str, EpochMetric] = field(default_factory=dict)
    given_in_part: str = ""
    tuning: TunedScope | None = None
    also_called: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what a study file and folders of trials rely on."""
        if not re.fullmatch(NAME, self.name):
            raise ValueError(f"a method's `name` must be lower-case letters, digits and hyphens, got '{self.name}'")
        if "paper" not in self.presets:
            raise ValueError(f"{self.name}: `presets` must have one called paper, got {list(self.presets)}")

    def preset_names(self) -> tuple[str, ...]:
        """Return every preset's name, the default first."""
        return ("recommended", *self.presets)
