"""Cross entropy with a loss of distances between features: to class centres, or between pairs of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


class CenterParams(Hyperparameters):
    """Params of the center loss.

    Attributes:
        center_weight: l, of ||f - c_y||^2; the paper's formula halves the square, and so its lambda.
        center_rate: alpha, how far centres follow a batch.
    """

    center_weight: float = Field(0.003, ge=0, allow_inf_nan=False)
    center_rate: float = Field(0.5, gt=0, le=1, allow_inf_nan=False)


class RangeParams(Hyperparameters):
    """Params of the range loss, in squared units of the features.

    Attributes:
        intra_weight: alpha, of the largest ranges within classes.
        inter_weight: beta, of the hinge between the nearest two classes.
        margin: m, the squared distance from which two classes are far enough apart.
        largest: k, how many of the largest ranges of a class count.
    """

    intra_weight: float = Field(0.001, ge=0, allow_inf_nan=False)
    inter_weight: float = Field(0.001, ge=0, allow_inf_nan=False)
    margin: float = Field(100.0, gt=0, allow_inf_nan=False)
    largest: int = Field(2, ge=1, le=100)


class LiftedParams(Hyperparameters):
    """Params of the lifted structured loss.

    Attributes:
        lifted_weight: of the loss beside cross entropy.
        margin: alpha, the distance that images of other classes should keep.
        unit_features: compare features scaled to length 1; the paper's are as they come, and the loss grows with
            their square, until it diverges at learning rates that suit everything else.
    """

    lifted_weight: float = Field(0.1, ge=0, allow_inf_nan=False)
    margin: float = Field(1.0, gt=0, allow_inf_nan=False)
    unit_features: bool = True


def center(params: CenterParams, context: MethodContext) -> Plan:
    """Compose the center loss: cross entropy on a linear head, features drawn to centres that follow them."""
    from trainables.components.class_centers import ClassCenters, follow_features
    from trainables.components.losses.center_loss import center_loss
    from trainables.components.losses.cross_entropy import cross_entropy

    memory = ClassCenters(context.feature_dim, len(context.class_counts))

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        compactness = center_loss(outputs.features, labels, centers=memory.centers)
        return cross_entropy(outputs.logits, labels) + params.center_weight * compactness

    def follow(outputs: Outputs, labels: Tensor) -> None:
        follow_features(memory.centers, outputs.features, labels, rate=params.center_rate)

    return Plan(linear_head(context), (Stage("plain", 0.0, loss, after_step=follow),), memory=memory)


def ranges(params: RangeParams, context: MethodContext) -> Plan:
    """Compose the range loss: cross entropy on a linear head, plus the batch's range loss on features."""
    from trainables.components.losses.cross_entropy import cross_entropy
    from trainables.components.losses.range_loss import range_loss

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return cross_entropy(outputs.logits, labels) + range_loss(
            outputs.features,
            labels,
            margin=params.margin,
            intra_weight=params.intra_weight,
            inter_weight=params.inter_weight,
            largest=params.largest,
        )

    return Plan(linear_head(context), (Stage("plain", 0.0, loss),))


def lifted(params: LiftedParams, context: MethodContext) -> Plan:
    """Compose the lifted loss: cross entropy on a linear head, plus the batch's lifted structured loss on features."""
    from trainables.components.heads.cosine_head import unit_rows
    from trainables.components.losses.cross_entropy import cross_entropy
    from trainables.components.losses.lifted_structured import lifted_structured_loss

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        features = unit_rows(outputs.features) if params.unit_features else outputs.features
        structured = lifted_structured_loss(features, labels, margin=params.margin)
        return cross_entropy(outputs.logits, labels) + params.lifted_weight * structured

    return Plan(linear_head(context), (Stage("plain", 0.0, loss),))


CENTER = Method(
    name="center",
    title="Center loss",
    paper="Wen et al., 2016, eqs 4-5",
    equation="CE(z, y) + l ||f - c_y||^2, c_j -= alpha sum_{y=j} (c_j - f) / (1 + n_j) after every step",
    params=CenterParams,
    build=center,
    presets={"paper": {"center_weight": 0.0015}},
)
RANGE = Method(
    name="range",
    title="Range loss",
    paper="Zhang et al., 2017",
    equation="CE(z, y) + alpha sum over classes of the harmonic mean of the k largest ||f_i - f_j||^2 "
    "+ beta max(0, m - min ||mean_a - mean_b||^2)",
    params=RangeParams,
    build=ranges,
    presets={"paper": {"intra_weight": 5e-5, "inter_weight": 1e-4, "margin": 2e4}},
)
LIFTED = Method(
    name="lifted",
    title="Lifted structured loss",
    paper="Song et al., 2016, eq 4",
    equation="CE(z, y) + sum over pairs of max(0, J)^2 / (2 |P|), "
    "J_ij = log(sum_k exp(alpha - D_ik) + sum_l exp(alpha - D_jl)) + D_ij",
    params=LiftedParams,
    build=lifted,
    presets={"paper": {"lifted_weight": 1.0, "unit_features": False}},
)
