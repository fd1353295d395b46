"""Training on two objectives in turn: complement objective training (COT)."""

from __future__ import annotations

from pydantic import Field

from trainables.components.variants import CotVariant
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage


class ComplementObjectiveParams(Hyperparameters):
    """Params of COT.

    Attributes:
        variant: ``paper`` divides by K-1 and decays weights in the first step alone; ``official`` divides by K and
            decays them in both; ``joint`` takes one step on the sum of both objectives.
        rate_factor: learning rate of the second step divided by the first step's; 1 in the paper, 0 is ERM. In
            ``joint`` the weight of the second objective.
    """

    variant: CotVariant = "paper"
    rate_factor: float = Field(1.0, ge=0, le=100)


def complement_objective(params: ComplementObjectiveParams, context: MethodContext) -> Plan:
    """Compose COT: a step on cross entropy, then one that flattens the softmax over the wrong classes."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.updates.complement_step import ComplementUpdate

    update = ComplementUpdate(params.variant, params.rate_factor)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, update=update),))


COT = Method(
    name="cot",
    title="Complement objective training",
    paper="Chen et al., 2019, algorithm 1",
    equation="a step on CE(z, y), then a step on -C/(K-1), C the entropy of the softmax over the wrong classes",
    params=ComplementObjectiveParams,
    build=complement_objective,
    presets={"paper": {}, "official": {"variant": "official"}, "joint": {"variant": "joint"}},
)
