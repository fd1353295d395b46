"""Empirical risk minimisation: cross entropy on every image alike, and its re-sampled form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from trainables.components.heads import LinearHead


class NoHyperparameters(Hyperparameters):
    """A method without params of its own."""


def linear_head(context: MethodContext, bias: bool = True) -> LinearHead:
    """Return the ordinary head for a problem."""
    from trainables.components.heads import LinearHead

    return LinearHead(context.feature_dim, len(context.class_counts), bias)


def erm(params: NoHyperparameters, context: MethodContext) -> Plan:
    """Compose ERM: linear head, cross entropy, every image once an epoch."""
    from trainables.components.losses.cross_entropy import plain_loss

    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss),))


def resampling(params: NoHyperparameters, context: MethodContext) -> Plan:
    """Compose RS: ERM on batches drawn with P(i) proportional to 1/n_y, an epoch as long as the set."""
    from trainables.components.losses.cross_entropy import plain_loss

    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss, sampler="class-balanced"),))


ERM = Method(
    name="erm",
    title="Empirical risk minimisation",
    paper="cross entropy",
    equation="CE(z, y)",
    params=NoHyperparameters,
    build=erm,
    also_called=("ce", "cross-entropy", "softmax", "baseline", "vanilla", "none"),
)
RS = Method(
    name="rs",
    title="Re-sampling",
    paper="P(i) proportional to 1/n_y",
    equation="CE(z, y) on class-balanced batches",
    params=NoHyperparameters,
    build=resampling,
    also_called=("oversampling", "over-sampling", "ros", "class-balanced-sampling"),
)
