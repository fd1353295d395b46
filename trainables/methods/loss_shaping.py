"""Losses that reshape cross entropy on a linear head: complement, focal, balanced softmax."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainables.methods.baselines import NoHyperparameters, linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, Loss, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


class ComplementParams(Hyperparameters):
    """Params of complement cross entropy.

    Attributes:
        gamma: weight of the complement entropy, negative (paper, eq 5); the paper's best is -1.
        variant: the paper's formula, or what its released code computes.
    """

    gamma: float = Field(-1.0, lt=0, allow_inf_nan=False)
    variant: Literal["paper", "official"] = "paper"


class FocalParams(Hyperparameters):
    """Params of focal loss.

    Attributes:
        gamma: the focusing exponent, at least 0.
        alpha: factor of every class's loss; it acts like a smaller learning rate.
    """

    gamma: float = Field(2.0, ge=0, allow_inf_nan=False)
    alpha: float = Field(1.0, gt=0, allow_inf_nan=False)


def _single_stage(loss: Loss, context: MethodContext) -> Plan:
    return Plan(linear_head(context), (Stage("plain", 0.0, loss),))


def complement(params: ComplementParams, context: MethodContext) -> Plan:
    """Compose CCE: cross entropy plus gamma/(K-1) times the entropy over the wrong classes."""
    from trainables.components.losses.complement_entropy import complement_cross_entropy

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return complement_cross_entropy(outputs.logits, labels, gamma=params.gamma, variant=params.variant)

    return _single_stage(loss, context)


def focal(params: FocalParams, context: MethodContext) -> Plan:
    """Compose focal loss: alpha (1 - p_y)^gamma times cross entropy."""
    from trainables.components.losses.focal_loss import focal_loss

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return focal_loss(outputs.logits, labels, gamma=params.gamma, alpha=params.alpha)

    return _single_stage(loss, context)


def balanced_softmax(params: NoHyperparameters, context: MethodContext) -> Plan:
    """Compose balanced softmax: cross entropy of z + log n in training, of z alone in prediction."""
    from trainables.components.losses.balanced_softmax import balanced_softmax_loss

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return balanced_softmax_loss(outputs.logits, labels, class_counts=context.class_counts)

    return _single_stage(loss, context)


def balanced_softmax_shift(params: NoHyperparameters, ratio: float) -> float:
    """Return the boundary's shift log(ratio), in nats."""
    return math.log(ratio)


FOCAL = Method(
    name="focal",
    title="Focal loss",
    paper="Lin et al., 2017, eqs 4-5",
    equation="alpha (1 - p_y)^gamma CE(z, y)",
    params=FocalParams,
    build=focal,
    presets={"paper": {}, "ldam-paper": {"gamma": 1.0}, "cce-paper": {"alpha": 0.25}},
)
CCE = Method(
    name="cce",
    title="Complement cross entropy",
    paper="Kim et al., 2021, eqs 2-5",
    equation="CE(z, y) + gamma/(K-1) C, C the entropy of the softmax over the wrong classes",
    params=ComplementParams,
    build=complement,
    presets={"paper": {}, "official": {"variant": "official"}},
)
BALANCED_SOFTMAX = Method(
    name="balanced-softmax",
    title="Balanced softmax",
    paper="Ren et al., 2020, eq 3",
    equation="CE(z + log n, y); prediction by z",
    params=NoHyperparameters,
    build=balanced_softmax,
    boundary_shift=balanced_softmax_shift,
    also_called=("bsce",),
)
