"""Re-sampling with made images: SMOTE."""

from __future__ import annotations

from pydantic import Field

from trainables.composition import Hyperparameters, Plan, Problem, Stage
from trainables.families.plain import linear_head
from trainables.losses.cross_entropy import plain_loss
from trainables.method import Method
from trainables.transforms.interpolation import Smote


class SmoteValues(Hyperparameters):
    """Values of SMOTE: `neighbours`, among how many nearest images of the class the second one is drawn."""

    neighbours: int = Field(5, ge=1, le=100)


def smote(values: SmoteValues, problem: Problem) -> Plan:
    """Compose SMOTE: cross entropy on class-balanced batches that are in part interpolated."""
    stage = Stage("plain", 0.0, plain_loss, sampler="class-balanced", transform=Smote(values.neighbours))
    return Plan(linear_head(problem), (stage,))


SMOTE = Method(
    "Synthetic minority over-sampling",
    "Chawla et al., 2002, section 4.2",
    "class-balanced batches, x + u (x' - x) in place of x with probability 1 - n_k/n_max",
    SmoteValues,
    smote,
    ("sampler", "batch transform"),
)
