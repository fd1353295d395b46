"""Plain gradient step, and the interface of all updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.optim import Optimizer

from trainables.components.network import Outputs
from trainables.core.config import TrainingConfig

if TYPE_CHECKING:
    from trainables.components.optimizers import Parameters


@dataclass(frozen=True)
class Step:
    """Inputs of an update for one training step.

    Attributes:
        forward: runs the network on the batch in training mode; may be called several times.
        objective: scalar batch loss of the given outputs, including class weights and the head's penalty.
        labels: int64 (B,).
        optimizer: over all parameters, with the epoch's learning rate set. Its steps clip the gradients if the
            training asks for it.
        parameters: the parameters trained in this stage.
        learning_rate: of this epoch.
        forward_frozen_stats: like ``forward`` but without updating BatchNorm's running statistics; None means that
            ``forward`` may be used instead.
    """

    forward: Callable[[], Outputs]
    objective: Callable[[Outputs], Tensor]
    labels: Tensor
    optimizer: Optimizer
    parameters: Sequence[nn.Parameter]
    learning_rate: float
    forward_frozen_stats: Callable[[], Outputs] | None = None


class Update:
    """The plain update: one backward pass and one optimizer step.

    Subclasses with state between steps return it from `state` as tensors and plain containers.
    """

    def prepare(self, parameters: Parameters, training: TrainingConfig) -> None:
        """Receive all parameters of the network; called once, before the first step or `load`.

        Args:
            parameters: as torch.optim takes them: a list, or groups with ``lr_scale`` under `training.layer_decay`.
            training: for a further optimizer, by `trainables.components.optimizers.build_optimizer`.
        """

    def __call__(self, step: Step) -> tuple[Outputs, Tensor]:
        """Update the weights; return the outputs and the scalar loss of the first forward pass."""
        outputs = step.forward()
        loss = step.objective(outputs)
        step.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        step.optimizer.step()
        return outputs, loss

    def state(self) -> dict[str, Any]:
        """Return the state that a checkpoint must hold."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Restore the state returned by `state`."""
