"""Cost-sensitive softmax (CoSen), with costs fixed from the class frequencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.baselines import NoHyperparameters, linear_head
from trainables.methods.method import Method
from trainables.methods.plan import MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


def cost_sensitive(params: NoHyperparameters, context: MethodContext) -> Plan:
    """Compose CoSen in its fixed-cost form: costs max(h_p, h_q) in training, none in prediction."""
    from trainables.components.losses.cost_scaled_softmax import cost_scaled_loss, frequency_costs

    costs = frequency_costs(context.class_counts).float()

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return cost_scaled_loss(outputs.logits, labels, costs=costs)

    return Plan(linear_head(context), (Stage("plain", 0.0, loss),))


COSEN = Method(
    name="cosen",
    title="Cost-sensitive softmax",
    paper="Khan et al., 2018",
    equation="-log(xi_{y,y} e^z_y / sum_k xi_{y,k} e^z_k), xi_{p,q} = max(n_p, n_q) / N; prediction by z",
    params=NoHyperparameters,
    build=cost_sensitive,
    given_in_part="costs fixed from the class frequencies, not learned along with the network",
)
