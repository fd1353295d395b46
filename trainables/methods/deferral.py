"""Deferred forms of a method: its own training first, then the same with class weights or class-balanced batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, create_model

from trainables.methods.method import Method, Presets, SharedPrefix
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage

Deferral = Literal["re-weighting", "re-sampling"]
"""Class balancing of the last stage: class weights (DRW) or a class-balanced sampler (DRS)."""


_DEFER_UNTIL: float = Field(0.8, gt=0, lt=1, allow_inf_nan=False)


class DeferredParams(Hyperparameters):
    """Params of every deferred form.

    Attributes:
        defer_until: fraction of the epochs at which balancing begins, in (0, 1); 160 of 200 in Cao et al., 2019.
    """

    defer_until: float = _DEFER_UNTIL


class DeferredWeightingParams(Hyperparameters):
    """Params of deferred re-weighting.

    Attributes:
        beta: of the effective number of samples (Cui et al., 2019), in [0, 1); sets the last stage's class weights.
        defer_until: fraction of the epochs at which re-weighting begins, in (0, 1).
    """

    beta: float = Field(0.9999, ge=0, lt=1, allow_inf_nan=False)
    defer_until: float = _DEFER_UNTIL


_STAGE_NAMES: dict[Deferral, str] = {"re-weighting": "re-weighted", "re-sampling": "re-sampled"}
_PARAMS: dict[Deferral, type[Hyperparameters]] = {
    "re-weighting": DeferredWeightingParams,
    "re-sampling": DeferredParams,
}
_EQUATIONS: dict[Deferral, str] = {
    "re-weighting": "then with weights (1 - beta)/(1 - beta^n)",
    "re-sampling": "then on class-balanced batches",
}


def followed_by(plan: Plan, name: str, start: float, **changes: Any) -> Plan:
    """Return a plan of one stage with a second one, equal to the first but for ``changes``.

    Args:
        plan: of one stage.
        name: of the second stage.
        start: fraction of the epochs at which it begins; at 0 it replaces the first.
        changes: fields of `Stage` in which it differs.
    """
    (first,) = plan.stages
    second = replace(first, name=name, start=start, **changes)
    return replace(plan, stages=(first, second) if start > 0 else (second,))


def deferred(
    plain: Method,
    by: Deferral,
    *,
    name: str,
    paper: str,
    title: str | None = None,
    equation: str | None = None,
    params: type[Hyperparameters] | None = None,
    presets: Presets | None = None,
    last_stage: Callable[[Any, Stage], Stage] | None = None,
) -> Method:
    """Return the deferred form of a method of one stage (Cao et al., 2019, algorithm 1).

    Args:
        plain: the method that the first stage trains.
        by: what balances the classes in the last stage.
        name: of the deferred form.
        paper: authors, year and where the deferred form stands.
        title: None names the plain method and the deferral.
        equation: None takes the plain method's, then the deferral.
        params: of the deferred form; None adds those of the deferral to the plain method's.
        presets: None takes the plain method's.
        last_stage: changes the last stage further, from the params.
    """

    def build(given: Any, context: MethodContext) -> Plan:
        from trainables.components.class_weights import effective_number

        balance: dict[str, Any] = {"sampler": "class-balanced"}
        if by == "re-weighting":
            balance = {"class_weights": effective_number(context.class_counts, given.beta).float()}
        plan = followed_by(plain.build(given, context), _STAGE_NAMES[by], given.defer_until, **balance)
        if last_stage is None:
            return plan
        return replace(plan, stages=(*plan.stages[:-1], last_stage(given, plan.stages[-1])))

    return Method(
        name=name,
        title=title or f"{plain.title}, deferred {by}",
        paper=paper,
        equation=equation or f"{plain.equation}; {_EQUATIONS[by]}",
        params=params or _with_deferral(plain.params, by),
        build=build,
        presets=plain.presets if presets is None else presets,
        defer_field="defer_until",
        shared_prefix=SharedPrefix(plain),
        boundary_shift=plain.boundary_shift,
        given_in_part=plain.given_in_part,
    )


def _with_deferral(plain: type[Hyperparameters], by: Deferral) -> type[Hyperparameters]:
    added = _PARAMS[by]
    name = plain.__name__.removesuffix("Params") + added.__name__
    return create_model(name, __base__=(added, plain), __doc__=f"Params of {plain.__name__} and of deferred {by}.")
