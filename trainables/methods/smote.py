"""Re-sampling with made images: SMOTE."""

from __future__ import annotations

from pydantic import Field

from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage


class SmoteParams(Hyperparameters):
    """Params of SMOTE: `neighbours`, number of nearest images of the class from which the second one is drawn."""

    neighbours: int = Field(5, ge=1, le=100)


def smote(params: SmoteParams, context: MethodContext) -> Plan:
    """Compose SMOTE: cross entropy on class-balanced batches that are in part interpolated."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.transforms.smote_interpolation import Smote

    stage = Stage("plain", 0.0, plain_loss, sampler="class-balanced", transform=Smote(params.neighbours))
    return Plan(linear_head(context), (stage,))


SMOTE = Method(
    name="smote",
    title="Synthetic minority over-sampling",
    paper="Chawla et al., 2002, section 4.2",
    equation="class-balanced batches, x + u (x' - x) in place of x with probability 1 - n_k/n_max",
    params=SmoteParams,
    build=smote,
)
