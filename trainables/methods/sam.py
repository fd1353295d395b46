"""Sharpness-aware minimisation (SAM), alone or with deferred re-weighting."""

from __future__ import annotations

from pydantic import Field

from trainables.methods.baselines import linear_head
from trainables.methods.deferral import DeferredWeightingParams, deferred
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage


class SamParams(Hyperparameters):
    """Params of SAM: `rho`, length of the step to the perturbed weights at which the gradient is taken."""

    rho: float = Field(0.05, gt=0, le=100)


class SamDrwParams(DeferredWeightingParams, SamParams):
    """Params of SAM-DRW: those of SAM with a larger `rho`, and `beta` and `defer_until` of deferred re-weighting."""

    rho: float = Field(0.5, gt=0, le=100)


def sam(params: SamParams, context: MethodContext) -> Plan:
    """Compose SAM: cross entropy, its gradient taken at w + rho g/||g||."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.updates.sharpness_step import SharpnessAwareUpdate

    update = SharpnessAwareUpdate(params.rho)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, update=update),))


SAM = Method(
    name="sam",
    title="Sharpness-aware minimisation",
    paper="Foret et al., 2021, algorithm 1",
    equation="CE(z, y), its gradient taken at w + rho g/||g||",
    params=SamParams,
    build=sam,
    presets={"paper": {}, "long-tail": {"rho": 0.1}, "long-tail-100": {"rho": 0.2}},
)
SAM_DRW = deferred(
    SAM,
    name="sam-drw",
    by="re-weighting",
    title="SAM with deferred re-weighting",
    paper="Rangwani et al., 2022",
    equation="SAM, then with weights (1 - beta)/(1 - beta^n)",
    params=SamDrwParams,
    presets={"paper": {}, "long-tail-100": {"rho": 0.8}},
)
