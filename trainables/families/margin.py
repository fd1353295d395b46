"""Label-distribution-aware margins (LDAM) on a cosine head, alone or with deferred re-weighting (DRW)."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from trainables.class_weights import effective_number
from trainables.composition import Hyperparameters, Loss, Outputs, Plan, Problem, Stage
from trainables.config import MethodConfig
from trainables.heads import CosineHead
from trainables.losses.margin import class_margins, ldam_loss
from trainables.method import Method


class LdamValues(Hyperparameters):
    """Values of LDAM.

    Attributes:
        max_margin: M, the margin of the rarest class, in units of the cosine.
        scale: s, what cosines are multiplied with before the softmax.
    """

    max_margin: float = Field(0.5, gt=0, le=2)
    scale: float = Field(30.0, gt=0, allow_inf_nan=False)


class LdamDrwValues(LdamValues):
    """Values of LDAM-DRW.

    Attributes:
        beta: of the effective number of samples, in [0, 1): the weights of the deferred stage.
        defer_until: fraction of the epochs at which re-weighting begins (160 of 200).
    """

    beta: float = Field(0.9999, ge=0, lt=1)
    defer_until: float = Field(0.8, gt=0, lt=1)


def _margin_loss(values: LdamValues, problem: Problem) -> Loss:
    margins = class_margins(problem.class_counts, values.max_margin).float()

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return ldam_loss(outputs.logits, labels, margins=margins, scale=values.scale)

    return loss


def ldam(values: LdamValues, problem: Problem) -> Plan:
    """Compose LDAM: cosine head, margins proportional to n^(-1/4)."""
    head = CosineHead(problem.feature_dim, len(problem.class_counts))
    return Plan(head, (Stage("plain", 0.0, _margin_loss(values, problem)),))


def ldam_drw(values: LdamDrwValues, problem: Problem) -> Plan:
    """Compose LDAM-DRW: LDAM, then LDAM with effective-number class weights."""
    head = CosineHead(problem.feature_dim, len(problem.class_counts))
    loss = _margin_loss(values, problem)
    weights = effective_number(problem.class_counts, values.beta).float()
    deferred = Stage("re-weighted", values.defer_until, loss, class_weights=weights)
    return Plan(head, (Stage("plain", 0.0, loss), deferred))


def _ldam_opening(values: LdamDrwValues) -> MethodConfig:
    return MethodConfig(name="ldam", hyperparameters={"max_margin": values.max_margin, "scale": values.scale})


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
    deferral="defer_until",
    opening=_ldam_opening,
)
