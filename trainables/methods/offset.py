"""Offsets made of class centres in place of a bias: estimated in training, or empirical (Kim, Hong and Kim, 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from trainables.core.config import FIRST_DEFAULTS
from trainables.methods.baselines import NoHyperparameters, linear_head
from trainables.methods.method import Method, SharedPrefix
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage, StageStart

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


class OffsetParams(Hyperparameters):
    """Params of the estimated offset.

    Attributes:
        center_weight: lambda_1 of eq 6, of ||f - c_y||^2; the paper's is 1, the default the center-loss paper's.
        constraint_weight: lambda_2 of eq 6, of the uniform constraint; the paper's is 1, 0 leaves it out.
        center_rate: alpha, how far centres follow a batch.
        offset_in_logits: take the offset off the logits; without, it is only constrained.
        warmup: fraction of the epochs before which a linear head without bias is trained; centres then start
            at class means, and at zero without a warm-up.
    """

    center_weight: float = Field(0.0015, ge=0, allow_inf_nan=False)
    constraint_weight: float = Field(0.1, ge=0, allow_inf_nan=False)
    center_rate: float = Field(0.5, gt=0, le=1, allow_inf_nan=False)
    offset_in_logits: bool = True
    warmup: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False)


def offset(params: OffsetParams, context: MethodContext) -> Plan:
    """Compose the estimated offset: head with centres, center loss, uniform constraint, at will after a warm-up."""
    from trainables.components.class_centers import follow_features
    from trainables.components.heads.offset_head import OffsetHead
    from trainables.components.losses.center_loss import center_loss
    from trainables.components.losses.cross_entropy import cross_entropy, plain_loss

    head = OffsetHead(context.feature_dim, len(context.class_counts), params.constraint_weight, params.offset_in_logits)

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        compactness = center_loss(outputs.features, labels, centers=head.centers)
        return cross_entropy(outputs.logits, labels) + params.center_weight * compactness

    def follow(outputs: Outputs, labels: Tensor) -> None:
        follow_features(head.centers, outputs.features, labels, rate=params.center_rate)

    def begin(start: StageStart) -> None:
        head.centers.copy_(start.class_means())
        head.constrains.fill_(1)

    if params.warmup == 0:
        return Plan(head, (Stage("plain", 0.0, loss, after_step=follow),))
    head.constrains.fill_(0)  # at centres of zero it has no gradient; it would only shift the reported loss
    estimated = Stage("estimated offset", params.warmup, loss, after_step=follow, begin=begin)
    return Plan(head, (Stage("warm-up", 0.0, plain_loss), estimated))


def empirical_offset(params: NoHyperparameters, context: MethodContext) -> Plan:
    """Compose the empirical offset: cross entropy on a linear head without bias, class means taken off after."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.posthoc.empirical_offset import EmpiricalOffset

    head = linear_head(context, bias=False)
    return Plan(head, (Stage("plain", 0.0, plain_loss),), posthoc=EmpiricalOffset())


OFFSET = Method(
    name="offset",
    title="Estimated offset with uniform constraint",
    paper="Kim, Hong and Kim, 2021, eqs 5-6",
    equation="CE(z, y) + l1 ||f - c_y||^2 + l2 sum p0 log p0, "
    "z_k = w_k.f - w0_k, w0_k = c_k.w_k / 2, p0 = softmax(-w0)",
    params=OffsetParams,
    build=offset,
    presets={
        "paper": {"center_weight": 1.0, "constraint_weight": 1.0},
        "no-constraint": {"constraint_weight": 0.0},
        "constraint-only": {"offset_in_logits": False},
        FIRST_DEFAULTS: {"constraint_weight": 1.0},
    },
    defer_field="warmup",
    shared_prefix=SharedPrefix(None, {"center_weight": 0.0, "constraint_weight": 0.0, "offset_in_logits": False}),
)
EMPIRICAL_OFFSET = Method(
    name="empirical-offset",
    title="Empirical offset",
    paper="Kim, Hong and Kim, 2021, section 2.2",
    equation="CE(w.f, y); prediction by w_k.f - mean_k.w_k / 2, mean_k the mean training feature of class k",
    params=NoHyperparameters,
    build=empirical_offset,
)
