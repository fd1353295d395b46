"""Cross entropy with weights by class, from the start (RW, CB-RW) or late in the training (DRW, DRS)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from trainables.components.variants import Divisor
from trainables.methods import baselines
from trainables.methods.baselines import linear_head
from trainables.methods.deferral import DeferredWeightingParams, deferred
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor


class WeightedParams(Hyperparameters):
    """Params of RW: `weighted_over`, the divisor of a batch's weighted sum (LDAM's or M2m's convention)."""

    weighted_over: Divisor = "weights"


class ClassBalancedParams(WeightedParams):
    """Params of CB-RW: those of RW, and `beta` of the effective number of samples, in [0, 1); 0 is ERM."""

    beta: float = Field(0.9999, ge=0, lt=1, allow_inf_nan=False)


class DeferredWeightsParams(DeferredWeightingParams, WeightedParams):
    """Params of DRW: those of RW, and `beta` and `defer_until` of deferred re-weighting."""


def _weighted(name: str, start: float, weights: Tensor, params: WeightedParams) -> Stage:
    from trainables.components.losses.cross_entropy import plain_loss

    return Stage(name, start, plain_loss, class_weights=weights.float(), weighted_over=params.weighted_over)


def reweighting(params: WeightedParams, context: MethodContext) -> Plan:
    """Compose RW: cross entropy with weights 1/n, scaled to sum K."""
    from trainables.components.class_weights import inverse_frequency

    weights = inverse_frequency(context.class_counts)
    return Plan(linear_head(context), (_weighted("plain", 0.0, weights, params),))


def class_balanced(params: ClassBalancedParams, context: MethodContext) -> Plan:
    """Compose CB-RW: cross entropy with effective-number weights, scaled to sum K."""
    from trainables.components.class_weights import effective_number

    weights = effective_number(context.class_counts, params.beta)
    return Plan(linear_head(context), (_weighted("plain", 0.0, weights, params),))


def _divided(params: DeferredWeightsParams, stage: Stage) -> Stage:
    return replace(stage, weighted_over=params.weighted_over)


PRESETS = {"paper": {}, "m2m": {"weighted_over": "examples"}}

RW = Method(
    name="rw",
    title="Re-weighting",
    paper="weights proportional to 1/n",
    equation="w_y CE(z, y), w proportional to 1/n",
    params=WeightedParams,
    build=reweighting,
    presets=PRESETS,
)
CB_RW = Method(
    name="cb-rw",
    title="Class-balanced re-weighting",
    paper="Cui et al., 2019, class-balanced loss",
    equation="w_y CE(z, y), w proportional to (1 - beta)/(1 - beta^n)",
    params=ClassBalancedParams,
    build=class_balanced,
    presets=PRESETS,
    also_called=("cb", "class-balanced", "cb-loss"),
)
DRW = deferred(
    baselines.ERM,
    name="drw",
    by="re-weighting",
    title="Deferred re-weighting",
    paper="Cao et al., 2019, algorithm 1",
    equation="CE(z, y), then with weights (1 - beta)/(1 - beta^n)",
    params=DeferredWeightsParams,
    presets=PRESETS,
    last_stage=_divided,
)
DRS = deferred(
    baselines.ERM,
    name="drs",
    by="re-sampling",
    title="Deferred re-sampling",
    paper="Cao et al., 2019, algorithm 1 with re-sampling",
    equation="CE(z, y), then on class-balanced batches",
)
