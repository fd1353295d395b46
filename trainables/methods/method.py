"""What an entry of the table of methods says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from trainables.core.config import MethodConfig
from trainables.methods.plan import Hyperparameters, MethodContext, Plan

Axis = Literal[
    "loss", "head", "sampler", "batch transform", "class weights", "stages", "trainable", "update", "post-hoc"
]
Presets = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        title: what the literature calls it.
        paper: authors, year and the equations that define it.
        equation: what it computes, in one line, in the symbols of docs/methods.md.
        params: its typed hyperparameters; their defaults are the preset ``recommended``.
        build: composes head and stages from the params and the problem.
        axes: which axes leave their null default.
        presets: name -> the params in which it differs from ``recommended``; one is called ``paper``.
        defer_field: the hyperparameter that says at which fraction of the epochs the last stage begins.
        shared_prefix: the method of one stage whose training the stages before the last repeat, from the params; what
            it does not name acts in the last stage alone. With one stage: the method whose training it repeats whole,
            changing the trained head alone. None shares nothing.
        reference: the method whose trained network it needs beside its own.
        given_in_part: what of the published method is left out; empty where nothing is.
    """

    title: str
    paper: str
    equation: str
    params: type[Hyperparameters]
    build: Callable[[Any, MethodContext], Plan]
    axes: tuple[Axis, ...]
    presets: Presets = field(default_factory=lambda: {"paper": {}})
    defer_field: str | None = None
    shared_prefix: Callable[[Any], MethodConfig] | None = None
    reference: str | None = None
    given_in_part: str = ""

    def preset_names(self) -> tuple[str, ...]:
        """Return every preset's name, the default first."""
        return ("recommended", *self.presets)
