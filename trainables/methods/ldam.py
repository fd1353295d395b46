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


class LdamValues(Hyperparameters):
    """Values of LDAM.

    Attributes:
        max_margin: M, the margin of the rarest class, in units of the cosine.
        scale: s, what cosines are multiplied with before the softmax.
    """

    max_margin: float = Field(0.5, gt=0, le=2)
    scale: float = Field(30.0, gt=0, allow_inf_nan=False)


class LdamDrsValues(LdamValues):
    """Values of LDAM-DRS: `defer_until`, the fraction of the epochs at which re-sampling begins (160 of 200)."""

    defer_until: float = Field(0.8, gt=0, lt=1)


class LdamDrwValues(LdamValues):
    """Values of LDAM-DRW.

    Attributes:
        beta: of the effective number of samples, in [0, 1): the weights of the deferred stage.
        defer_until: fraction of the epochs at which re-weighting begins (160 of 200).
    """

    beta: float = Field(0.9999, ge=0, lt=1)
    defer_until: float = Field(0.8, gt=0, lt=1)


class ElmValues(LdamValues):
    """Values of ELM.

    Attributes:
        lam: lambda, the weight of the margin of the nearest wrong class; 0 is LDAM.
        own_margin: whether the target's own margin D_y is there; without it only lam D_c* is.
    """

    lam: float = Field(1.0, ge=0, le=2)
    own_margin: bool = True


class ElmDrwValues(ElmValues, LdamDrwValues):
    """Values of ELM-DRW: those of ELM, and `beta` and `defer_until` of LDAM-DRW."""


def _ldam_loss(values: LdamValues, context: MethodContext) -> Loss:
    margins = class_margins(context.class_counts, values.max_margin).float()

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return ldam_loss(outputs.logits, labels, margins=margins, scale=values.scale)

    return loss


def _elm_loss(values: ElmValues, context: MethodContext) -> Loss:
    margins = class_margins(context.class_counts, values.max_margin).float()

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return enlarged_margin_loss(
            outputs.logits,
            labels,
            margins=margins,
            scale=values.scale,
            lam=values.lam,
            own_margin=values.own_margin,
        )

    return loss


def _plan(context: MethodContext, loss: Loss, *deferred: Stage) -> Plan:
    head = CosineHead(context.feature_dim, len(context.class_counts))
    return Plan(head, (Stage("plain", 0.0, loss), *deferred))


def _reweighted(values: LdamDrwValues, context: MethodContext, loss: Loss) -> Stage:
    weights = effective_number(context.class_counts, values.beta).float()
    return Stage("re-weighted", values.defer_until, loss, class_weights=weights)


def ldam(values: LdamValues, context: MethodContext) -> Plan:
    """Compose LDAM: cosine head, margins proportional to n^(-1/4)."""
    return _plan(context, _ldam_loss(values, context))


def ldam_drw(values: LdamDrwValues, context: MethodContext) -> Plan:
    """Compose LDAM-DRW: LDAM, then LDAM with effective-number class weights."""
    loss = _ldam_loss(values, context)
    return _plan(context, loss, _reweighted(values, context, loss))


def ldam_drs(values: LdamDrsValues, context: MethodContext) -> Plan:
    """Compose LDAM-DRS: LDAM, then LDAM on class-balanced batches."""
    loss = _ldam_loss(values, context)
    return _plan(context, loss, Stage("re-sampled", values.defer_until, loss, sampler="class-balanced"))


def elm(values: ElmValues, context: MethodContext) -> Plan:
    """Compose ELM: LDAM, and in the target's cosine the margin of the nearest wrong class."""
    return _plan(context, _elm_loss(values, context))


def elm_drw(values: ElmDrwValues, context: MethodContext) -> Plan:
    """Compose ELM-DRW: ELM, then ELM with effective-number class weights."""
    loss = _elm_loss(values, context)
    return _plan(context, loss, _reweighted(values, context, loss))


def _ldam_prefix(values: LdamValues) -> MethodConfig:
    return MethodConfig(name="ldam", hyperparameters=values.model_dump(include=set(LdamValues.model_fields)))


def _elm_prefix(values: ElmValues) -> MethodConfig:
    return MethodConfig(name="elm", hyperparameters=values.model_dump(include=set(ElmValues.model_fields)))


_ELM_PRESETS = {"paper": {}, "no-own-margin": {"own_margin": False}}

LDAM = Method(
    "Label-distribution-aware margin",
    "Cao et al., 2019, eqs 12-13",
    "CE(s (z - D_y onehot_y), y), D_j = M n_j^(-1/4) / max_k n_k^(-1/4)",
    LdamValues,
    ldam,
    ("loss", "head"),
)
LDAM_DRW = Method(
    "LDAM with deferred re-weighting",
    "Cao et al., 2019, algorithm 1",
    "LDAM, then with weights (1 - beta)/(1 - beta^n)",
    LdamDrwValues,
    ldam_drw,
    ("loss", "head", "class weights", "stages"),
    defer_field="defer_until",
    shared_prefix=_ldam_prefix,
)
LDAM_DRS = Method(
    "LDAM with deferred re-sampling",
    "Cao et al., 2019, algorithm 1 with re-sampling",
    "LDAM, then on class-balanced batches",
    LdamDrsValues,
    ldam_drs,
    ("loss", "head", "sampler", "stages"),
    defer_field="defer_until",
    shared_prefix=_ldam_prefix,
)
ELM = Method(
    "Enlarged large margin",
    "Kato and Hotta, 2023, eq 6",
    "CE(s (z - (D_y - lam D_c*) onehot_y), y), c* the nearest wrong class",
    ElmValues,
    elm,
    ("loss", "head"),
    _ELM_PRESETS,
)
ELM_DRW = Method(
    "ELM with deferred re-weighting",
    "Kato and Hotta, 2023, eq 6 and table I",
    "ELM, then with weights (1 - beta)/(1 - beta^n)",
    ElmDrwValues,
    elm_drw,
    ("loss", "head", "class weights", "stages"),
    _ELM_PRESETS,
    defer_field="defer_until",
    shared_prefix=_elm_prefix,
)
