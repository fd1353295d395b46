"""Empirical risk minimisation: cross entropy on every image alike, and its re-sampled form."""

from __future__ import annotations

from torch import Tensor

from trainables.composition import Hyperparameters, Outputs, Plan, Problem, SamplerName, Stage
from trainables.heads import LinearHead
from trainables.losses.cross_entropy import cross_entropy


class NoHyperparameters(Hyperparameters):
    """A method without values of its own."""


def _cross_entropy(outputs: Outputs, labels: Tensor) -> Tensor:
    return cross_entropy(outputs.logits, labels)


def _plan(problem: Problem, sampler: SamplerName) -> Plan:
    head = LinearHead(problem.feature_dim, len(problem.class_counts))
    return Plan(head, (Stage("plain", 0.0, _cross_entropy, sampler=sampler),))


def erm(values: NoHyperparameters, problem: Problem) -> Plan:
    """Compose ERM: linear head, cross entropy, every image once an epoch."""
    return _plan(problem, "instance")


def resampling(values: NoHyperparameters, problem: Problem) -> Plan:
    """Compose RS: ERM on batches drawn with P(i) proportional to 1/n_y, an epoch as long as the set."""
    return _plan(problem, "class-balanced")
