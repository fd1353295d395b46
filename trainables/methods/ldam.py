"""Label-distribution-aware margins on a cosine head: LDAM and ELM, alone or with a deferred stage (DRW, DRS)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from trainables.components.class_weights import effective_number
from trainables.components.heads import CosineHead
from trainables.components.losses.label_aware_margin import class_margins, enlarged_margin_loss, ldam_loss
from trainables.core.config import MethodConfig
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, Loss, MethodContext, Outputs, Plan, Stage


class LdamParams(Hyperparameters):
    """Values of LDAM.

    Attributes:
        max_margin: M, the margin of the rarest class, in units of the cosine.
        scale: s, what cosines are multiplied with before the softmax.
    """

    max_margin: float = Field(0.5, gt=0, le=2)
    scale: float = Field(30.0, gt=0, allow_inf_nan=False)


class LdamDrsParams(LdamParams):
    """Values of LDAM-DRS: `defer_until`, the fraction of the epochs at which re-sampling begins (160 of 200)."""

    defer_until: float = Field(0.8, gt=0, lt=1)


class LdamDrwParams(LdamParams):
    """Values of LDAM-DRW.

    Attributes:
        beta: of the effective number of samples, in [0, 1): the weights of the deferred stage.
        defer_until: fraction of the epochs at which re-weighting begins (160 of 200).
    """

    beta: float = Field(0.9999, ge=0, lt=1)
    defer_until: float = Field(0.8, gt=0, lt=1)


class ElmParams(LdamParams):
    """Values of ELM.

    Attributes:
        lam: lambda, the weight of the margin of the nearest wrong class; 0 is LDAM.
        own_margin: whether the target's own margin D_y is there; without it only lam D_c* is.
    """

    lam: float = Field(1.0, ge=0, le=2)
    own_margin: bool = True


class ElmDrwParams(ElmParams, LdamDrwParams):
    """Values of ELM-DRW: those of ELM, and `beta` and `defer_until` of LDAM-DRW."""


def _ldam_loss(params: LdamParams, context: MethodContext) -> Loss:
    margins = class_margins(context.class_counts, params.max_margin).float()

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return ldam_loss(outputs.logits, labels, margins=margins, scale=params.scale)

    return loss


def _elm_loss(params: ElmParams, context: MethodContext) -> Loss:
    margins = class_margins(context.class_counts, params.max_margin).float()

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return enlarged_margin_loss(
            outputs.logits,
            labels,
            margins=margins,
            scale=params.scale,
            lam=params.lam,
            own_margin=params.own_margin,
        )

    return loss


def _plan(context: MethodContext, loss: Loss, *deferred: Stage) -> Plan:
    head = CosineHead(context.feature_dim, len(context.class_counts))
    return Plan(head, (Stage("plain", 0.0, loss), *deferred))


def _reweighted(params: LdamDrwParams, context: MethodContext, loss: Loss) -> Stage:
    weights = effective_number(context.class_counts, params.beta).float()
    return Stage("re-weighted", params.defer_until, loss, class_weights=weights)


def ldam(params: LdamParams, context: MethodContext) -> Plan:
    """Compose LDAM: cosine head, margins proportional to n^(-1/4)."""
    return _plan(context, _ldam_loss(params, context))


def ldam_drw(params: LdamDrwParams, context: MethodContext) -> Plan:
    """Compose LDAM-DRW: LDAM, then LDAM with effective-number class weights."""
    loss = _ldam_loss(params, context)
    return _plan(context, loss, _reweighted(params, context, loss))


def ldam_drs(params: LdamDrsParams, context: MethodContext) -> Plan:
    """Compose LDAM-DRS: LDAM, then LDAM on class-balanced batches."""
    loss = _ldam_loss(params, context)
    return _plan(context, loss, Stage("re-sampled", params.defer_until, loss, sampler="class-balanced"))


def elm(params: ElmParams, context: MethodContext) -> Plan:
    """Compose ELM: LDAM, and in the target's cosine the margin of the nearest wrong class."""
    return _plan(context, _elm_loss(params, context))


def elm_drw(params: ElmDrwParams, context: MethodContext) -> Plan:
    """Compose ELM-DRW: ELM, then ELM with effective-number class weights."""
    loss = _elm_loss(params, context)
    return _plan(context, loss, _reweighted(params, context, loss))


def _ldam_prefix(params: LdamParams) -> MethodConfig:
    return MethodConfig(name="ldam", params=params.model_dump(include=set(LdamParams.model_fields)))


def _elm_prefix(params: ElmParams) -> MethodConfig:
    return MethodConfig(name="elm", params=params.model_dump(include=set(ElmParams.model_fields)))


_ELM_PRESETS = {"paper": {}, "no-own-margin": {"own_margin": False}}

LDAM = Method(
    "Label-distribution-aware margin",
    "Cao et al., 2019, eqs 12-13",
    "CE(s (z - D_y onehot_y), y), D_j = M n_j^(-1/4) / max_k n_k^(-1/4)",
    LdamParams,
    ldam,
    ("loss", "head"),
)
LDAM_DRW = Method(
    "LDAM with deferred re-weighting",
    "Cao et al., 2019, algorithm 1",
    "LDAM, then with weights (1 - beta)/(1 - beta^n)",
    LdamDrwParams,
    ldam_drw,
    ("loss", "head", "class weights", "stages"),
    defer_field="defer_until",
    shared_prefix=_ldam_prefix,
)
LDAM_DRS = Method(
    "LDAM with deferred re-sampling",
    "Cao et al., 2019, algorithm 1 with re-sampling",
    "LDAM, then on class-balanced batches",
    LdamDrsParams,
    ldam_drs,
    ("loss", "head", "sampler", "stages"),
    defer_field="defer_until",
    shared_prefix=_ldam_prefix,
)
ELM = Method(
    "Enlarged large margin",
    "Kato and Hotta, 2023, eq 6",
    "CE(s (z - (D_y - lam D_c*) onehot_y), y), c* the nearest wrong class",
    ElmParams,
    elm,
    ("loss", "head"),
    _ELM_PRESETS,
)
ELM_DRW = Method(
    "ELM with deferred re-weighting",
    "Kato and Hotta, 2023, eq 6 and table I",
    "ELM, then with weights (1 - beta)/(1 - beta^n)",
    ElmDrwParams,
    elm_drw,
    ("loss", "head", "class weights", "stages"),
    _ELM_PRESETS,
    defer_field="defer_until",
    shared_prefix=_elm_prefix,
)
