"""Cross entropy whose logits or labels are adjusted on a linear head: large margin, priors, smoothing by class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, Loss, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


class LargeMarginParams(Hyperparameters):
    """Params of LMSCE: `lam`, weight of the divergence over the wrong classes; 0 is cross entropy."""

    lam: float = Field(0.3, ge=0, allow_inf_nan=False)


class LogitAdjustmentParams(Hyperparameters):
    """Params of logit adjustment: `tau`, strength of the prior; 0 is cross entropy, 1 balanced softmax."""

    tau: float = Field(1.0, ge=0, allow_inf_nan=False)


class VectorScalingParams(Hyperparameters):
    """Params of VS.

    Attributes:
        gamma: of the factors (n/n_max)^gamma on the logits; 0 is logit adjustment.
        tau: strength of the prior added to them.
    """

    gamma: float = Field(0.2, ge=0, allow_inf_nan=False)
    tau: float = Field(1.2, ge=0, allow_inf_nan=False)


class LabelAwareParams(Hyperparameters):
    """Params of label-aware smoothing.

    Attributes:
        head: eps of the most frequent class.
        tail: eps of the rarest class.
        shape: how eps rises with n from one to the other.
        spread: what of the label is smoothed away goes to the ``wrong`` classes (paper) or to ``all`` (code).
    """

    head: float = Field(0.4, ge=0, lt=1, allow_inf_nan=False)
    tail: float = Field(0.1, ge=0, lt=1, allow_inf_nan=False)
    shape: Literal["concave", "linear", "convex"] = "concave"
    spread: Literal["wrong", "all"] = "wrong"


def _single_stage(loss: Loss, context: MethodContext) -> Plan:
    return Plan(linear_head(context), (Stage("plain", 0.0, loss),))


def large_margin(params: LargeMarginParams, context: MethodContext) -> Plan:
    """Compose LMSCE: cross entropy plus lam/2 times the divergence of the wrong classes from uniform."""
    from trainables.components.losses.large_margin_softmax import large_margin_cross_entropy

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return large_margin_cross_entropy(outputs.logits, labels, lam=params.lam)

    return _single_stage(loss, context)


def logit_adjustment(params: LogitAdjustmentParams, context: MethodContext) -> Plan:
    """Compose logit adjustment: cross entropy of z + tau log prior in training, of z alone in prediction."""
    from trainables.components.losses.vector_scaling import logit_adjusted_loss

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return logit_adjusted_loss(outputs.logits, labels, class_counts=context.class_counts, tau=params.tau)

    return _single_stage(loss, context)


def vector_scaling(params: VectorScalingParams, context: MethodContext) -> Plan:
    """Compose VS: cross entropy of logits scaled and moved by class in training, prediction by z alone."""
    from trainables.components.losses.vector_scaling import vector_scaling_loss

    counts = context.class_counts

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return vector_scaling_loss(outputs.logits, labels, class_counts=counts, gamma=params.gamma, tau=params.tau)

    return _single_stage(loss, context)


def label_aware_smoothing(params: LabelAwareParams, context: MethodContext) -> Plan:
    """Compose LAS: cross entropy with labels smoothed by eps_y, which rises with the class's count."""
    from trainables.components.losses.label_aware_smoothing import class_smoothing, label_aware_smoothing_loss

    smoothing = class_smoothing(context.class_counts, head=params.head, tail=params.tail, shape=params.shape)

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return label_aware_smoothing_loss(outputs.logits, labels, smoothing=smoothing, spread=params.spread)

    return _single_stage(loss, context)


def prior_shift(params: LogitAdjustmentParams | VectorScalingParams, ratio: float) -> float:
    """Return the boundary's shift tau log(ratio), in nats; the factors of VS change no boundary at logits of 0."""
    return params.tau * math.log(ratio)


LMSCE = Method(
    name="lmsce",
    title="Large margin in softmax cross entropy",
    paper="Kobayashi, 2019",
    equation="CE(z, y) + lam/2 sum over c != y of (q_c - 1/(K-1)) log q_c, q the softmax over the wrong classes",
    params=LargeMarginParams,
    build=large_margin,
)
LOGIT_ADJUSTMENT = Method(
    name="logit-adjustment",
    title="Logit adjustment",
    paper="Menon et al., 2021, eq 10",
    equation="CE(z + tau log prior, y); prediction by z",
    params=LogitAdjustmentParams,
    build=logit_adjustment,
    boundary_shift=prior_shift,
    also_called=("la", "logit-adjusted", "logit-adjusted-loss"),
)
VS = Method(
    name="vs",
    title="Vector scaling",
    paper="Kini et al., 2021, VS-loss",
    equation="CE(z/(n_max/n)^gamma + tau log prior, y); prediction by z",
    params=VectorScalingParams,
    build=vector_scaling,
    boundary_shift=prior_shift,
    also_called=("vs-loss",),
)
LAS = Method(
    name="las",
    title="Label-aware smoothing",
    paper="Zhong et al., 2021, label-aware smoothing",
    equation="-(1 - eps_y) log p_y - eps_y/(K-1) sum over c != y of log p_c, eps a concave sine of n",
    params=LabelAwareParams,
    build=label_aware_smoothing,
    presets={"paper": {}, "official": {"spread": "all"}, "linear": {"shape": "linear"}, "convex": {"shape": "convex"}},
    given_in_part="the loss of MiSLAS, without its mixup, its second stage and its scaled head",
)
