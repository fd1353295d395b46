"""Cross entropy with a confidence penalty (Pereyra et al., 2017): a method and its search space in one file."""

from pydantic import Field

from search_spaces import Range
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, Plan, Stage


class Params(Hyperparameters):
    """`beta`: weight of the entropy of the predictions, in nats."""
    beta: float = Field(0.1, ge=0, le=10)

def build(params, context):
    """Compose it: a linear head, and one stage with one loss per example."""
    from torch.nn.functional import cross_entropy, log_softmax
    def loss(outputs, labels):
        log_p = log_softmax(outputs.logits, dim=1)
        return cross_entropy(outputs.logits, labels, reduction="none") + params.beta * (log_p.exp() * log_p).sum(dim=1)
    return Plan(linear_head(context), (Stage("plain", 0.0, loss),))

PENALTY = Method(name="confidence-penalty", title="Confidence penalty", paper="Pereyra et al., 2017, eq 2",
                 equation="CE(z, y) - beta H(p)", params=Params, build=build)
SPACES = {"confidence-penalty": {"beta": Range(low=0.01, high=1, scale="log")}}
