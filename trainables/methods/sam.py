"""Sharpness-aware minimisation (SAM), alone or with deferred re-weighting."""

from __future__ import annotations

from pydantic import Field

from trainables.components.class_weights import effective_number
from trainables.components.losses.cross_entropy import plain_loss
from trainables.components.updates.sharpness_step import SharpnessAwareUpdate
from trainables.core.config import MethodConfig
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage


class SamParams(Hyperparameters):
    """Values of SAM: `rho`, the length by which the weights are moved before the gradient is taken."""

    rho: float = Field(0.05, gt=0, le=100)


class SamDrwParams(Hyperparameters):
    """Values of SAM-DRW.

    Attributes:
        rho: the length by which the weights are moved before the gradient is taken.
        beta: of the effective number of samples, in [0, 1): the weights of the deferred stage.
        defer_until: fraction of the epochs at which re-weighting begins (160 of 200).
    """

    rho: float = Field(0.5, gt=0, le=100)
    beta: float = Field(0.9999, ge=0, lt=1)
    defer_until: float = Field(0.8, gt=0, lt=1)


def sam(params: SamParams, context: MethodContext) -> Plan:
    """Compose SAM: cross entropy, its gradient taken at w + rho g/||g||."""
    update = SharpnessAwareUpdate(params.rho)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, update=update),))


def sam_drw(params: SamDrwParams, context: MethodContext) -> Plan:
    """Compose SAM-DRW: SAM, then SAM with effective-number class weights."""
    update = SharpnessAwareUpdate(params.rho)
    weights = effective_number(context.class_counts, params.beta).float()
    deferred = Stage("re-weighted", params.defer_until, plain_loss, class_weights=weights, update=update)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, update=update), deferred))


def _sam_prefix(params: SamDrwParams) -> MethodConfig:
    return MethodConfig(name="sam", params={"rho": params.rho})


SAM = Method(
    "Sharpness-aware minimisation",
    "Foret et al., 2021, algorithm 1",
    "CE(z, y), its gradient taken at w + rho g/||g||",
    SamParams,
    sam,
    ("update",),
    {"paper": {}, "long-tail": {"rho": 0.1}, "long-tail-100": {"rho": 0.2}},
)
SAM_DRW = Method(
    "SAM with deferred re-weighting",
    "Rangwani et al., 2022",
    "SAM, then with weights (1 - beta)/(1 - beta^n)",
    SamDrwParams,
    sam_drw,
    ("class weights", "stages", "update"),
    {"paper": {}, "long-tail-100": {"rho": 0.8}},
    defer_field="defer_until",
    shared_prefix=_sam_prefix,
)
