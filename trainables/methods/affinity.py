"""Gaussian affinity: prototypes instead of a linear head, a hinge on similarities (Hayat et al., 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainables.core.config import FIRST_DEFAULTS
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


class AffinityParams(Hyperparameters):
    """Params of the affinity loss.

    Attributes:
        margin: lambda of eq 6. The paper does not state it; at 0.75 the unmet hinges of frequent classes push the
            prototypes of rare classes away.
        sigma: width of the Gaussian (eq 3), in the unit that ``sigma_unit`` names.
        sigma_unit: ``median`` of the squared distances of the first batch, or ``absolute`` (the paper's).
        prototypes: m of eq 9, prototypes per class.
        diversity_weight: weight of the regulariser R (eq 7); the paper's is 1.
        distance: squared Euclidean, or Manhattan (the paper's table 4).
        similarity: ``gaussian`` exp(-d/sigma), or ``inverse`` 1/(1+d) (the paper's table 4).
        average_over_classes: divide the hinge's sum over classes by K-1.
    """

    margin: float = Field(0.3, gt=0, allow_inf_nan=False)
    sigma: float = Field(1.0, gt=0, allow_inf_nan=False)
    sigma_unit: Literal["median", "absolute"] = "median"
    prototypes: int = Field(5, ge=1, le=1000)
    diversity_weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    distance: Literal["l2_squared", "l1"] = "l2_squared"
    similarity: Literal["gaussian", "inverse"] = "gaussian"
    average_over_classes: bool = False


def affinity(params: AffinityParams, context: MethodContext) -> Plan:
    """Compose the affinity loss: prototype head with diversity regulariser, max-margin hinge."""
    from trainables.components.heads import PrototypeHead
    from trainables.components.losses.affinity_hinge import affinity_margin_loss

    head = PrototypeHead(
        context.feature_dim,
        len(context.class_counts),
        prototypes=params.prototypes,
        sigma=params.sigma,
        sigma_unit=params.sigma_unit,
        diversity_weight=params.diversity_weight,
        distance=params.distance,
        similarity=params.similarity,
    )

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return affinity_margin_loss(
            outputs.logits,
            labels,
            margin=params.margin,
            average_over_classes=params.average_over_classes,
        )

    return Plan(head, (Stage("plain", 0.0, loss),))


AFFINITY = Method(
    name="affinity",
    title="Gaussian affinity",
    paper="Hayat et al., 2019, eqs 3, 6-10",
    equation="sum over j != y of max(0, margin + d_j - d_y) + R, d_j = max_t exp(-||f - w_jt||^2 / sigma)",
    params=AffinityParams,
    build=affinity,
    presets={"paper": {"sigma": 10.0, "sigma_unit": "absolute"}, FIRST_DEFAULTS: {"margin": 0.75}},
)
