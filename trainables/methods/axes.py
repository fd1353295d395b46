"""Axes on which a method differs from ERM, derived from the plans that both build; a stored table spares torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from trainables.methods import baselines
from trainables.methods.method import Method
from trainables.methods.plan import MethodContext, Plan

Axis = Literal[
    "loss", "head", "sampler", "batch transform", "class weights", "stages", "trainable", "update", "post-hoc"
]

TABLE = Path(__file__).with_name("axes.json")
"""Name -> axes of the methods of this package, written by ``make readme``: a list of methods needs no torch."""

_COUNTS = (90, 40, 9, 1)
_FEATURES = 6


def axes_of(method: Method) -> tuple[Axis, ...]:
    """Return the axes on which a method differs from ERM under its default params.

    Those of the methods of this package stand in a table. Any other method is built, which imports torch.
    """
    return _stored()[method.name] if _is_stored(method) else derived_axes(method)


def derived_axes(method: Method) -> tuple[Axis, ...]:
    """Build a method's plan and ERM's, and return the axes on which they differ."""
    return differing_axes(_plan(method), _plan(baselines.ERM))


def differing_axes(plan: Plan, plain: Plan) -> tuple[Axis, ...]:
    """Return the axes on which any stage of a plan differs from the one stage of a plain plan.

    Args:
        plan: of a method.
        plain: ERM's, for the same problem.
    """
    (usual,) = plain.stages
    stages = plan.stages
    differs: dict[Axis, bool] = {
        "loss": any(stage.loss is not usual.loss for stage in stages),
        "head": type(plan.head) is not type(plain.head) or _parts(plan.head) != _parts(plain.head),
        "sampler": any(stage.sampler != usual.sampler for stage in stages),
        "batch transform": any(stage.transform is not None for stage in stages),
        "class weights": any(stage.class_weights is not None for stage in stages),
        "stages": len(stages) > 1,
        "trainable": plan.tuning is not None
        or any(stage.trainable_prefixes != usual.trainable_prefixes for stage in stages),
        "update": any(
            type(stage.update) is not type(usual.update)
            or stage.after_step is not None
            or stage.weight_decay is not None
            for stage in stages
        ),
        "post-hoc": plan.posthoc is not None,
    }
    return tuple(axis for axis, differing in differs.items() if differing)


def written(methods: Mapping[str, Method]) -> str:
    """Return the content of `TABLE` for these methods."""
    lines = (f" {json.dumps(name)}: {json.dumps(derived_axes(method))}" for name, method in methods.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _plan(method: Method) -> Plan:
    import torch

    with torch.random.fork_rng(devices=()):
        return method.build(method.params(), MethodContext(torch.tensor(_COUNTS), _FEATURES))


def _parts(head: object) -> set[str]:
    import torch

    assert isinstance(head, torch.nn.Module)
    return {name for name, _ in head.named_parameters()}  # a head without bias lacks one


def _is_stored(method: Method) -> bool:
    return method.name in _stored() and method.build.__module__.startswith(f"{__package__}.")


@cache
def _stored() -> dict[str, tuple[Axis, ...]]:
    table: dict[str, list[Axis]] = json.loads(TABLE.read_bytes())
    return {name: tuple(axes) for name, axes in table.items()}
