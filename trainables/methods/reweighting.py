"""Cross entropy with weights by class, from the start (RW, CB-RW) or late in the training (DRW, DRS)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from trainables.components.class_weights import Divisor, effective_number, inverse_frequency
from trainables.components.losses.cross_entropy import plain_loss
from trainables.core.config import MethodConfig
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage


class WeightedParams(Hyperparameters):
    """Values of RW: `weighted_over`, what a batch's weighted sum is divided by (LDAM's or M2m's convention)."""

    weighted_over: Divisor = "weights"


class ClassBalancedParams(WeightedParams):
    """Values of CB-RW: those of RW, and `beta` of the effective number of samples, in [0, 1); 0 is ERM."""

    beta: float = Field(0.9999, ge=0, lt=1, allow_inf_nan=False)


class DeferredWeightsParams(ClassBalancedParams):
    """Values of DRW: those of CB-RW, and `defer_until`, the fraction of the epochs at which weighting begins."""

    defer_until: float = Field(0.8, gt=0, lt=1, allow_inf_nan=False)


class DeferredSamplingParams(Hyperparameters):
    """Values of DRS: `defer_until`, the fraction of the epochs at which class-balanced batches begin."""

    defer_until: float = Field(0.8, gt=0, lt=1, allow_inf_nan=False)


def _weighted(name: str, start: float, weights: Tensor, params: WeightedParams) -> Stage:
    return Stage(name, start, plain_loss, class_weights=weights.float(), weighted_over=params.weighted_over)


def reweighting(params: WeightedParams, context: MethodContext) -> Plan:
    """Compose RW: cross entropy with weights 1/n, scaled to sum K."""
    weights = inverse_frequency(context.class_counts)
    return Plan(linear_head(context), (_weighted("plain", 0.0, weights, params),))


def class_balanced(params: ClassBalancedParams, context: MethodContext) -> Plan:
    """Compose CB-RW: cross entropy with effective-number weights, scaled to sum K."""
    weights = effective_number(context.class_counts, params.beta)
    return Plan(linear_head(context), (_weighted("plain", 0.0, weights, params),))


def deferred_reweighting(params: DeferredWeightsParams, context: MethodContext) -> Plan:
    """Compose DRW: ERM, then cross entropy with effective-number weights."""
    weights = effective_number(context.class_counts, params.beta)
    deferred = _weighted("re-weighted", params.defer_until, weights, params)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss), deferred))


def deferred_resampling(params: DeferredSamplingParams, context: MethodContext) -> Plan:
    """Compose DRS: ERM, then cross entropy on class-balanced batches."""
    deferred = Stage("re-sampled", params.defer_until, plain_loss, sampler="class-balanced")
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss), deferred))


def erm_prefix(params: Hyperparameters) -> MethodConfig:
    """Return ERM: the training of every method that begins with plain cross entropy on a linear head."""
    return MethodConfig(name="erm")


PRESETS = {"paper": {}, "m2m": {"weighted_over": "examples"}}

RW = Method(
    "Re-weighting",
    "weights proportional to 1/n",
    "w_y CE(z, y), w proportional to 1/n",
    WeightedParams,
    reweighting,
    ("class weights",),
    PRESETS,
)
CB_RW = Method(
    "Class-balanced re-weighting",
    "Cui et al., 2019, class-balanced loss",
    "w_y CE(z, y), w proportional to (1 - beta)/(1 - beta^n)",
    ClassBalancedParams,
    class_balanced,
    ("class weights",),
    PRESETS,
)
DRW = Method(
    "Deferred re-weighting",
    "Cao et al., 2019, algorithm 1",
    "CE(z, y), then with weights (1 - beta)/(1 - beta^n)",
    DeferredWeightsParams,
    deferred_reweighting,
    ("class weights", "stages"),
    PRESETS,
    defer_field="defer_until",
    shared_prefix=erm_prefix,
)
DRS = Method(
    "Deferred re-sampling",
    "Cao et al., 2019, algorithm 1 with re-sampling",
    "CE(z, y), then on class-balanced batches",
    DeferredSamplingParams,
    deferred_resampling,
    ("sampler", "stages"),
    defer_field="defer_until",
    shared_prefix=erm_prefix,
)
