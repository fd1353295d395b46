"""Training on mixed pairs of images: mixup, mixup with deferred re-weighting, Remix."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trainables.components.class_weights import effective_number
from trainables.components.losses.cross_entropy import plain_loss
from trainables.components.transforms.pair_mixing import Mixup, Remix
from trainables.core.config import MethodConfig
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage


class MixupParams(Hyperparameters):
    """Values of mixup: `alpha`, of Beta(alpha, alpha), from which the share of the first image is drawn."""

    alpha: float = Field(1.0, gt=0, le=100)


class MixupDrwParams(MixupParams):
    """Values of mixup-DRW.

    Attributes:
        beta: of the effective number of samples, in [0, 1): the weights of the deferred stage.
        defer_until: fraction of the epochs at which re-weighting begins (160 of 200).
        mixing: in the ``shared_prefix`` stage alone, or ``throughout``.
    """

    beta: float = Field(0.9999, ge=0, lt=1)
    defer_until: float = Field(0.8, gt=0, lt=1)
    mixing: Literal["opening", "throughout"] = "opening"


class RemixParams(MixupParams):
    """Values of Remix.

    Attributes:
        kappa: how many times as large the other class must be for the rarer one to take the label.
        tau: below which share of the image the rarer class takes the label; 0 is mixup.
    """

    kappa: float = Field(3.0, gt=1, allow_inf_nan=False)
    tau: float = Field(0.5, ge=0, le=1)


def mixup(params: MixupParams, context: MethodContext) -> Plan:
    """Compose mixup: ERM on mixed pairs."""
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, transform=Mixup(params.alpha)),))


def mixup_drw(params: MixupDrwParams, context: MethodContext) -> Plan:
    """Compose mixup-DRW: mixup, then cross entropy with effective-number class weights."""
    mixing = Mixup(params.alpha)
    deferred = Stage(
        "re-weighted",
        params.defer_until,
        plain_loss,
        transform=mixing if params.mixing == "throughout" else None,
        class_weights=effective_number(context.class_counts, params.beta).float(),
    )
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, transform=mixing), deferred))


def remix(params: RemixParams, context: MethodContext) -> Plan:
    """Compose Remix: mixup whose label is the rarer class's where it has a smaller share of the image."""
    transform = Remix(params.alpha, params.kappa, params.tau)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, transform=transform),))


def _mixup_opening(params: MixupDrwParams) -> MethodConfig:
    return MethodConfig(name="mixup", params={"alpha": params.alpha})


MIXUP = Method(
    "Mixup",
    "Zhang et al., 2018, section 2",
    "lambda CE(z, y_i) + (1 - lambda) CE(z, y_j) at lambda x_i + (1 - lambda) x_j, lambda ~ Beta(alpha, alpha)",
    MixupParams,
    mixup,
    ("batch transform",),
    {"paper": {}, "imagenet": {"alpha": 0.2}},
)
MIXUP_DRW = Method(
    "Mixup with deferred re-weighting",
    "Zhang et al., 2021, mixup with DRW",
    "mixup, then CE with weights (1 - beta)/(1 - beta^n)",
    MixupDrwParams,
    mixup_drw,
    ("batch transform", "class weights", "stages"),
    {"paper": {}, "throughout": {"mixing": "throughout"}},
    defer_field="defer_until",
    shared_prefix=_mixup_opening,
)
REMIX = Method(
    "Remix",
    "Chou et al., 2020, the rule for lambda_y",
    "mixup, the label wholly y_j if n_i/n_j >= kappa and lambda < tau, and the other way round",
    RemixParams,
    remix,
    ("batch transform",),
)
