"""The parts a method is composed of; the training loop sees these and never a method's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

from trainables.config import Frozen
from trainables.heads import Head
from trainables.lr_schedule import stage_start

SamplerName = Literal["instance", "class-balanced"]


class Hyperparameters(Frozen):
    """Base of every method's typed values; checked when built, unknown names refused."""


class Outputs(NamedTuple):
    """What a network says of one batch.

    Attributes:
        features: backbone outputs, shape (B, d).
        logits: head outputs, shape (B, K), float32; the largest is the prediction.
    """

    features: Tensor
    logits: Tensor


class Problem(NamedTuple):
    """What a method is told of the data and the network.

    Attributes:
        class_counts: training images per class, int64, shape (K,), on the device that trains.
        feature_dim: length d of the backbone's features.
    """

    class_counts: Tensor
    feature_dim: int


Loss = Callable[[Outputs, Tensor], Tensor]
"""(outputs, labels (B,)) -> loss of every example, shape (B,), in nats."""


@dataclass(frozen=True)
class Stage:
    """A stretch of the epochs over which nothing about the training changes but the learning rate.

    Attributes:
        name: shown in records.
        start: fraction of the budget at which it begins; the first stage begins at 0.
        loss: loss per example.
        sampler: ``instance`` visits every image once an epoch; ``class-balanced`` draws classes evenly.
        class_weights: shape (K,), multiplied with the losses outside the loss; None weighs all alike.
        weighted_over: divide the weighted sum by the sum of ``weights`` or the number of ``examples``.
    """

    name: str
    start: float
    loss: Loss
    sampler: SamplerName = "instance"
    class_weights: Tensor | None = None
    weighted_over: Literal["weights", "examples"] = "weights"

    def first_epoch(self, epochs: int) -> int:
        """Return the 0-based epoch at which the stage begins; no budget is too short for its last stage."""
        return stage_start(self.start, epochs)


@dataclass(frozen=True)
class Plan:
    """A method, built for one problem: its head and its stages in order."""

    head: Head
    stages: tuple[Stage, ...]

    def stage_at(self, epoch: int, epochs: int) -> Stage:
        """Return the stage of a 0-based epoch in a budget of ``epochs``."""
        return [stage for stage in self.stages if stage.first_epoch(epochs) <= epoch][-1]
