"""Weight balancing (Alshammari et al., 2022): strong weight decay, then the classifier alone under MaxNorm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import HEAD, Hyperparameters, MethodContext, Plan, Stage, StageStart

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


class WeightBalancingParams(Hyperparameters):
    """Params of weight balancing.

    Attributes:
        first_weight_decay: of the whole network in the first stage.
        head_weight_decay: of the classifier in the second.
        longest_row: where MaxNorm's radius lies between the shortest row of the first stage's classifier (0) and
            its longest (1).
        beta: of the effective number of samples, the class weights of the second stage.
        defer_until: fraction of the epochs at which the second stage begins (200 of 210).
    """

    first_weight_decay: float = Field(5e-3, ge=0, le=1, allow_inf_nan=False)
    head_weight_decay: float = Field(0.1, ge=0, le=10, allow_inf_nan=False)
    longest_row: float = Field(0.1, ge=0, le=1, allow_inf_nan=False)
    beta: float = Field(0.9999, ge=0, lt=1, allow_inf_nan=False)
    defer_until: float = Field(0.95, gt=0, lt=1, allow_inf_nan=False)


def weight_balancing(params: WeightBalancingParams, context: MethodContext) -> Plan:
    """Compose weight balancing: ERM under strong weight decay, then its classifier under MaxNorm, re-weighted."""
    from trainables.components.class_weights import effective_number
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.row_projections import MaxNormRadius, longest_allowed, within_ball

    head, memory = linear_head(context), MaxNormRadius()

    def begin(start: StageStart) -> None:
        memory.radius.copy_(longest_allowed(head.weight, params.longest_row))

    def project(outputs: Outputs, labels: Tensor) -> None:
        head.weight.copy_(within_ball(head.weight, memory.radius))

    balanced = Stage(
        "balanced classifier",
        params.defer_until,
        plain_loss,
        class_weights=effective_number(context.class_counts, params.beta).float(),
        trainable_prefixes=HEAD,
        after_step=project,
        begin=begin,
        weight_decay=params.head_weight_decay,
        restarts_schedule=True,
    )
    return Plan(head, (Stage("plain", 0.0, plain_loss, weight_decay=params.first_weight_decay), balanced), memory)


WEIGHT_BALANCING = Method(
    name="weight-balancing",
    title="Weight balancing",
    paper="Alshammari et al., 2022",
    equation="CE under strong weight decay; then the head alone, ||w_k|| <= radius, weights (1 - beta)/(1 - beta^n)",
    params=WeightBalancingParams,
    build=weight_balancing,
    defer_field="defer_until",
)
