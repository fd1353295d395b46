"""Training on mixed pairs of images: mixup, mixup with deferred re-weighting, Remix."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from pydantic import Field

from trainables.methods.baselines import linear_head
from trainables.methods.deferral import DeferredWeightingParams, deferred
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage


class MixupParams(Hyperparameters):
    """Params of mixup: `alpha`, of Beta(alpha, alpha), from which the share of the first image is drawn."""

    alpha: float = Field(1.0, gt=0, le=100)


class MixupDrwParams(DeferredWeightingParams, MixupParams):
    """Params of mixup-DRW: those of mixup, `beta` and `defer_until` of deferred re-weighting, and one more.

    Attributes:
        mixing: in the first stage alone (``opening``), or ``throughout``.
    """

    mixing: Literal["opening", "throughout"] = "opening"


class RemixParams(MixupParams):
    """Params of Remix.

    Attributes:
        kappa: how many times as large the other class must be for the rarer one to take the label.
        tau: below which share of the image the rarer class takes the label; 0 is mixup.
    """

    kappa: float = Field(3.0, gt=1, allow_inf_nan=False)
    tau: float = Field(0.5, ge=0, le=1)


def mixup(params: MixupParams, context: MethodContext) -> Plan:
    """Compose mixup: ERM on mixed pairs."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.transforms.pair_mixing import Mixup

    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, transform=Mixup(params.alpha)),))


def remix(params: RemixParams, context: MethodContext) -> Plan:
    """Compose Remix: mixup whose label is the rarer class's where it has a smaller share of the image."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.transforms.pair_mixing import Remix

    transform = Remix(params.alpha, params.kappa, params.tau)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, transform=transform),))


def _mixed(params: MixupDrwParams, stage: Stage) -> Stage:
    return stage if params.mixing == "throughout" else replace(stage, transform=None)


MIXUP = Method(
    name="mixup",
    title="Mixup",
    paper="Zhang et al., 2018, section 2",
    equation="lambda CE(z, y_i) + (1 - lambda) CE(z, y_j) "
    "at lambda x_i + (1 - lambda) x_j, lambda ~ Beta(alpha, alpha)",
    params=MixupParams,
    build=mixup,
    presets={"paper": {}, "imagenet": {"alpha": 0.2}},
)
MIXUP_DRW = deferred(
    MIXUP,
    name="mixup-drw",
    by="re-weighting",
    title="Mixup with deferred re-weighting",
    paper="Zhang et al., 2021, mixup with DRW",
    equation="mixup, then CE with weights (1 - beta)/(1 - beta^n)",
    params=MixupDrwParams,
    presets={"paper": {}, "throughout": {"mixing": "throughout"}},
    last_stage=_mixed,
)
REMIX = Method(
    name="remix",
    title="Remix",
    paper="Chou et al., 2020, the rule for lambda_y",
    equation="mixup, the label wholly y_j if n_i/n_j >= kappa and lambda < tau, and the other way round",
    params=RemixParams,
    build=remix,
)
