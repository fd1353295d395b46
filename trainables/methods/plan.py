"""Plans and stages: a method as composed components. The training loop sees these and never a method's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from trainables.components.lr_schedule import stage_start
from trainables.core.config import StrictModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from trainables.components.batch import BatchTransform
    from trainables.components.heads import Head
    from trainables.components.network import Outputs
    from trainables.components.posthoc.posthoc_change import PostHoc
    from trainables.components.tuning import Tuning
    from trainables.components.updates import Update
    from trainables.core.trial_folder import ArrayFile

SamplerName = Literal["instance", "class-balanced"]
EVERYTHING = ("backbone.", "head.")
HEAD = ("head.",)


class Hyperparameters(StrictModel):
    """Base of every method's typed params; checked when built, unknown names refused."""


class MethodContext(NamedTuple):
    """Facts on data and network that a method may use.

    Attributes:
        class_counts: training images per class, int64, shape (K,), on the device that trains.
        feature_dim: length d of the backbone's features.
    """

    class_counts: Tensor
    feature_dim: int


Loss: TypeAlias = "Callable[[Outputs, Tensor], Tensor]"
"""(outputs, labels (B,)) -> loss of every example, shape (B,), in nats."""

EpochMetrics: TypeAlias = "Callable[[], Mapping[str, float]]"
"""() -> a method's own metrics of the epoch that just ended, by the names in `Method.epoch_metrics`."""

EndArrays: TypeAlias = "Callable[[], Mapping[str, ArrayFile]]"
"""() -> arrays to store in the trial's folder after the last epoch, by file name without ``.npz``."""

AfterStep: TypeAlias = "Callable[[Outputs, Tensor], None]"
"""(outputs and labels (B,) of a step, after its update and without gradients) -> None; changes head or memory."""


class StageStart(NamedTuple):
    """The state that a stage may use at its beginning.

    Attributes:
        head: of the method, as the stage before left it.
        class_means: returns the mean training feature of every class, (K, d), in evaluation mode.
        generator: of this stage, on the CPU, for new weights.
    """

    head: Head
    class_means: Callable[[], Tensor]
    generator: torch.Generator


def _gradient_step() -> Update:
    from trainables.components.updates import Update

    return Update()


@dataclass(frozen=True)
class Stage:
    """A stretch of the epochs over which nothing about the training changes but the learning rate.

    Attributes:
        name: shown in records.
        start: fraction of the budget at which it begins; the first stage begins at 0.
        loss: loss per example.
        sampler: ``instance`` visits every image once an epoch; ``class-balanced`` draws classes evenly.
        transform: changes batches before normalisation; None leaves them.
        class_weights: shape (K,), multiplied with the losses outside the loss; None weighs all alike.
        weighted_over: divide the weighted sum by the sum of ``weights`` or the number of ``examples``.
        trainable_prefixes: beginnings of the names of the parameters that it trains; the others get no gradient.
        update: what happens to the weights in a step.
        after_step: changes head or memory after every update: centres, projections.
        begin: changes the head once, at the stage's beginning, under ``torch.no_grad``.
        weight_decay: in place of the training's; None leaves it.
        epoch_metrics: the method's own metrics, read once after the last step of every epoch. What they count is
            gathered on the device, so that no step waits for it.
        end_arrays: what is stored beside the metrics after the last epoch, for pictures; must not change the training.
        restarts_schedule: run the learning-rate schedule over this stage alone, and forget momentum.
    """

    name: str
    start: float
    loss: Loss
    sampler: SamplerName = "instance"
    transform: BatchTransform | None = None
    class_weights: Tensor | None = None
    weighted_over: Literal["weights", "examples"] = "weights"
    trainable_prefixes: tuple[str, ...] = EVERYTHING
    update: Update = field(default_factory=_gradient_step)
    after_step: AfterStep | None = None
    begin: Callable[[StageStart], None] | None = None
    weight_decay: float | None = None
    restarts_schedule: bool = False
    epoch_metrics: EpochMetrics | None = None
    end_arrays: EndArrays | None = None

    def first_epoch(self, epochs: int) -> int:
        """Return the 0-based epoch at which the stage begins; no budget is too short for its last stage."""
        return stage_start(self.start, epochs)


@dataclass(frozen=True)
class Plan:
    """A method, built for one problem.

    Attributes:
        head: turns features into logits.
        stages: in order.
        memory: buffers that losses and ``after_step`` keep outside the head (centres, accumulators): they are
            on the training's device and in its checkpoints. None keeps nothing.
        posthoc: change of the trained head, its value picked on validation.
        tuning: what of the backbone is trained at all; None leaves that to the stages and to the study's model.
    """

    head: Head
    stages: tuple[Stage, ...]
    memory: nn.Module | None = None
    posthoc: PostHoc | None = None
    tuning: Tuning | None = None

    def stage_at(self, epoch: int, epochs: int) -> Stage:
        """Return the stage of a 0-based epoch in a budget of ``epochs``."""
        return [stage for stage in self.stages if stage.first_epoch(epochs) <= epoch][-1]

    def span(self, stage: Stage, epochs: int) -> range:
        """Return the 0-based epochs of a stage in a budget of ``epochs``."""
        starts = [s.first_epoch(epochs) for s in self.stages] + [epochs]
        index = self.stages.index(stage)
        return range(starts[index], starts[index + 1])


__all__ = ["EVERYTHING", "HEAD", "Hyperparameters", "Loss", "MethodContext", "Plan", "Stage", "StageStart"]
