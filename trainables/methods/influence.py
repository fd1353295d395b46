"""Losses weighted by the gradients that examples send: equalization v2, influence-balanced loss (IB, IB-focal)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from trainables.methods import baselines
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method, SharedPrefix
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.losses.equalization_loss import SidedWeights
    from trainables.components.network import Outputs


class EqualizationParams(Hyperparameters):
    """Params of equalization loss v2.

    Attributes:
        alpha: how far the weight of positives may exceed 1.
        gamma: steepness of the weight of negatives.
        mu: ratio of positive to negative gradient at which negatives weigh one half.
    """

    alpha: float = Field(4.0, ge=0, allow_inf_nan=False)
    gamma: float = Field(12.0, gt=0, allow_inf_nan=False)
    mu: float = Field(0.8, ge=0, allow_inf_nan=False)


class InfluenceParams(Hyperparameters):
    """Params of IB.

    Attributes:
        alpha: size of the factor.
        detach: count the factor as a constant; the released code does not.
        defer_until: fraction of the epochs at which balancing begins (100 of 200).
    """

    alpha: float = Field(1000.0, gt=0, allow_inf_nan=False)
    detach: bool = True
    defer_until: float = Field(0.5, gt=0, lt=1, allow_inf_nan=False)


class InfluenceFocalParams(InfluenceParams):
    """Params of IB-focal.

    Attributes:
        gamma: focusing exponent; 0 is IB.
        weighted_probability: take p_y of the focal term from the weighted cross entropy, as the released code.
    """

    gamma: float = Field(1.0, ge=0, allow_inf_nan=False)
    weighted_probability: bool = False


def equalization(params: EqualizationParams, context: MethodContext) -> Plan:
    """Compose equalization v2: sigmoids whose sides are weighted by the gradients they got so far."""
    from trainables.components.gradient_accumulators import GradientAccumulators
    from trainables.components.losses.equalization_loss import equalization_loss, equalization_weights, sided_gradients

    kept = GradientAccumulators(len(context.class_counts))

    def weights() -> SidedWeights:
        return equalization_weights(kept.ratio, alpha=params.alpha, gamma=params.gamma, mu=params.mu)

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return equalization_loss(outputs.logits, labels, weights=weights())

    def accumulate(outputs: Outputs, labels: Tensor) -> None:
        kept.add(sided_gradients(outputs.logits, labels, weights=weights()))

    return Plan(linear_head(context), (Stage("plain", 0.0, loss, after_step=accumulate),), memory=kept)


def influence_balanced(params: InfluenceParams, context: MethodContext) -> Plan:
    """Compose IB: ERM, then cross entropy divided by each example's influence, with weights 1/n."""
    return _balanced(params, context, gamma=0.0, probability_weights=None)


def influence_focal(params: InfluenceFocalParams, context: MethodContext) -> Plan:
    """Compose IB-focal: ERM, then focal loss divided by each example's influence, with weights 1/n."""
    from trainables.components.class_weights import inverse_frequency

    weights = inverse_frequency(context.class_counts) if params.weighted_probability else None
    return _balanced(params, context, gamma=params.gamma, probability_weights=weights)


def _balanced(
    params: InfluenceParams, context: MethodContext, gamma: float, probability_weights: Tensor | None
) -> Plan:
    from trainables.components.class_weights import inverse_frequency
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.losses.influence_balanced import influence_balanced_loss

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return influence_balanced_loss(
            outputs.features,
            outputs.logits,
            labels,
            alpha=params.alpha,
            gamma=gamma,
            detach=params.detach,
            class_weights=probability_weights,
        )

    weights = inverse_frequency(context.class_counts).float()
    balanced = Stage("balanced", params.defer_until, loss, class_weights=weights, weighted_over="examples")
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss), balanced))


EQUALIZATION_V2 = Method(
    name="equalization-v2",
    title="Equalization loss v2",
    paper="Tan et al., 2021, EQL v2",
    equation="q_y BCE(z_y, 1) + sum over j != y of r_j BCE(z_j, 0), "
    "r_j = sigmoid(gamma (g_j - mu)), q_j = 1 + alpha (1 - r_j)",
    params=EqualizationParams,
    build=equalization,
    given_in_part="the classification of a detector: no objectness branch, no prior in the head's bias",
    also_called=("eql", "eqlv2", "equalization"),
)
IB = Method(
    name="ib",
    title="Influence-balanced loss",
    paper="Park et al., 2021, IB loss",
    equation="CE(z, y), then w_y CE(z, y) alpha/(||p - onehot_y||_1 ||h||_1 + 1e-3), w proportional to 1/n",
    params=InfluenceParams,
    build=influence_balanced,
    presets={"paper": {}, "official": {"detach": False}},
    defer_field="defer_until",
    shared_prefix=SharedPrefix(baselines.ERM),
)
IB_FOCAL = Method(
    name="ib-focal",
    title="Influence-balanced focal loss",
    paper="Park et al., 2021, IB loss in its focal form",
    equation="CE(z, y), then w_y (1 - p_y)^gamma CE(z, y) alpha/(||p - onehot_y||_1 ||h||_1 + 1e-3)",
    params=InfluenceFocalParams,
    build=influence_focal,
    presets={"paper": {}, "official": {"detach": False, "weighted_probability": True}},
    defer_field="defer_until",
    shared_prefix=SharedPrefix(baselines.ERM),
)
