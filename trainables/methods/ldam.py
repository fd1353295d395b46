"""Label-distribution-aware margins on a cosine head: LDAM and ELM, alone or with a deferred stage (DRW, DRS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from trainables.core.config import FIRST_DEFAULTS
from trainables.methods.boundary_shift import label_margin_shift
from trainables.methods.deferral import deferred
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, Loss, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


class LdamParams(Hyperparameters):
    """Params of LDAM.

    Attributes:
        max_margin: M, the margin of the rarest class, in units of the cosine.
        scale: s, factor of the cosines before the softmax.
    """

    max_margin: float = Field(0.5, gt=0, le=2)
    scale: float = Field(30.0, gt=0, allow_inf_nan=False)


class ElmParams(LdamParams):
    """Params of ELM.

    Attributes:
        lam: lambda, the weight of the margin of the nearest wrong class; 0 is LDAM. The paper's table I
            has 0.1, 0.5, 1 and 1.2; 0.5 is the best on average.
        own_margin: use the target's own margin D_y; without it only lam D_c* acts.
    """

    lam: float = Field(0.5, ge=0, le=2)
    own_margin: bool = True


def _ldam_loss(params: LdamParams, context: MethodContext) -> Loss:
    from trainables.components.losses.label_aware_margin import class_margins, ldam_loss

    margins = class_margins(context.class_counts, params.max_margin).float()

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return ldam_loss(outputs.logits, labels, margins=margins, scale=params.scale)

    return loss


def _elm_loss(params: ElmParams, context: MethodContext) -> Loss:
    from trainables.components.losses.label_aware_margin import class_margins, enlarged_margin_loss

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


def _plan(context: MethodContext, loss: Loss) -> Plan:
    from trainables.components.heads import CosineHead

    head = CosineHead(context.feature_dim, len(context.class_counts))
    return Plan(head, (Stage("plain", 0.0, loss),))


def ldam(params: LdamParams, context: MethodContext) -> Plan:
    """Compose LDAM: cosine head, margins proportional to n^(-1/4)."""
    return _plan(context, _ldam_loss(params, context))


def elm(params: ElmParams, context: MethodContext) -> Plan:
    """Compose ELM: LDAM, and in the target's cosine the margin of the nearest wrong class."""
    return _plan(context, _elm_loss(params, context))


def ldam_shift(params: LdamParams, ratio: float) -> float:
    """Return the boundary's shift by LDAM's margins, in nats."""
    return label_margin_shift(params.scale, params.max_margin, ratio)


def elm_shift(params: ElmParams, ratio: float) -> float:
    """Return the boundary's shift by ELM's margins, in nats."""
    return label_margin_shift(params.scale, params.max_margin, ratio, own=float(params.own_margin), rival=params.lam)


LDAM = Method(
    name="ldam",
    title="Label-distribution-aware margin",
    paper="Cao et al., 2019, eqs 12-13",
    equation="CE(s (z - D_y onehot_y), y), D_j = M n_j^(-1/4) / max_k n_k^(-1/4)",
    params=LdamParams,
    build=ldam,
    boundary_shift=ldam_shift,
)
LDAM_DRW = deferred(
    LDAM,
    name="ldam-drw",
    by="re-weighting",
    title="LDAM with deferred re-weighting",
    paper="Cao et al., 2019, algorithm 1",
    equation="LDAM, then with weights (1 - beta)/(1 - beta^n)",
)
LDAM_DRS = deferred(
    LDAM,
    name="ldam-drs",
    by="re-sampling",
    title="LDAM with deferred re-sampling",
    paper="Cao et al., 2019, algorithm 1 with re-sampling",
    equation="LDAM, then on class-balanced batches",
)
ELM = Method(
    name="elm",
    title="Enlarged large margin",
    paper="Kato and Hotta, 2023, eq 6",
    equation="CE(s (z - (D_y - lam D_c*) onehot_y), y), c* the nearest wrong class",
    params=ElmParams,
    build=elm,
    presets={"paper": {"lam": 1.0}, "no-own-margin": {"lam": 1.0, "own_margin": False}, FIRST_DEFAULTS: {"lam": 1.0}},
    boundary_shift=elm_shift,
)
ELM_DRW = deferred(
    ELM,
    name="elm-drw",
    by="re-weighting",
    title="ELM with deferred re-weighting",
    paper="Kato and Hotta, 2023, eq 6 and table I",
    equation="ELM, then with weights (1 - beta)/(1 - beta^n)",
)
