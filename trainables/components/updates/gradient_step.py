"""One gradient step, and what every other update is built from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from trainables.components.network import Outputs
from trainables.core.config import TrainingConfig


@dataclass(frozen=True)
class Step:
    """What an update is given of a step.

    Attributes:
        forward: runs the network on the batch's images, in training mode; may be called again.
        objective: the batch's scalar loss of these outputs, weights and penalties included.
        labels: int64 (B,).
        optimizer: SGD over all parameters, at this epoch's learning rate.
        parameters: those that this stage trains.
        learning_rate: of this epoch.
        forward_frozen_stats: as ``forward``, but no running statistics move; None where there is no difference.
    """

    forward: Callable[[], Outputs]
    objective: Callable[[Outputs], Tensor]
    labels: Tensor
    optimizer: Optimizer
    parameters: Sequence[nn.Parameter]
    learning_rate: float
    forward_frozen_stats: Callable[[], Outputs] | None = None


class Update:
    """The plain update: one gradient, one optimizer step.

    Updates that keep state of their own between steps return it from `state`, as tensors and plain containers.
    """

    def prepare(self, parameters: Sequence[nn.Parameter], training: TrainingConfig) -> None:
        """Meet the network's parameters, once, before the first step or `load`."""

    def __call__(self, step: Step) -> tuple[Outputs, Tensor]:
        """Change the weights; return outputs and scalar loss of the first forward pass."""
        outputs = step.forward()
        loss = step.objective(outputs)
        step.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        step.optimizer.step()
        return outputs, loss

    def state(self) -> dict[str, Any]:
        """Return what a resumed training needs of this update."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
