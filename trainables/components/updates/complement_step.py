"""Complement objective training (COT): a second optimizer step on the entropy over the wrong classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from trainables.components.losses.complement_entropy import complement_entropy
from trainables.components.network import Outputs
from trainables.components.optimizers import build_optimizer, set_learning_rate
from trainables.components.updates.gradient_step import Step, Update
from trainables.components.variants import CotVariant
from trainables.core.config import TrainingConfig

if TYPE_CHECKING:
    from trainables.components.optimizers import Parameters


class ComplementUpdate(Update):
    """A gradient step on the objective, then a new forward pass and a step that minimises -C/(K-1).

    C is the mean complement entropy of the batch. The second optimizer is of the training's kind, SGD in the paper,
    with the same learning rate and momentum coefficient but separate momentum buffers. BatchNorm updates its running
    statistics in both passes, as in the released code.

    Args:
        variant: ``paper`` divides by K-1 and applies weight decay in the first step only; ``official`` (the released
            code) divides by K and applies it in both; ``joint`` takes a single step on the objective plus
            rate_factor times -C/(K-1), with one forward pass and the first optimizer alone.
        rate_factor: factor of the second step's learning rate, at least 0; 0 skips the second step.

    Source: Chen, Wang, Liu, Chang, Pan, Chen, Wei and Juan, 2019, algorithm 1; the authors' released code.
    ``joint``: Kim, Lee and Jeon, 2021, algorithm 2; their code trains every loss by one step of one optimizer.
    """

    def __init__(self, variant: CotVariant = "paper", rate_factor: float = 1.0) -> None:
        self.variant, self.rate_factor = variant, rate_factor

    def prepare(self, parameters: Parameters, training: TrainingConfig) -> None:
        """Create the second optimizer, which ``joint`` does not need."""
        if self.variant == "joint":
            return
        decay = training.weight_decay if self.variant == "official" else 0.0
        self._optimizer = build_optimizer(parameters, training.model_copy(update={"weight_decay": decay}))

    def __call__(self, step: Step) -> tuple[Outputs, Tensor]:
        """Take both steps; return the outputs and the scalar loss of the first."""
        if self.variant == "joint":
            return self._joint(step)
        outputs, loss = super().__call__(step)
        if self.rate_factor > 0:
            set_learning_rate(self._optimizer, self.rate_factor * step.learning_rate)
            self._optimizer.zero_grad(set_to_none=True)
            self._objective(step.forward().logits, step.labels).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
        return outputs, loss

    def _joint(self, step: Step) -> tuple[Outputs, Tensor]:
        outputs = step.forward()
        loss = step.objective(outputs)
        both = loss + self.rate_factor * self._objective(outputs.logits, step.labels) if self.rate_factor > 0 else loss
        step.optimizer.zero_grad(set_to_none=True)
        both.backward()  # type: ignore[no-untyped-call]
        step.optimizer.step()
        return outputs, loss

    def _objective(self, logits: Tensor, labels: Tensor) -> Tensor:
        classes = logits.shape[1]
        return -complement_entropy(logits, labels).mean() / (classes if self.variant == "official" else classes - 1)

    def state(self) -> dict[str, Any]:
        """Return the state dict of the second optimizer."""
        return {} if self.variant == "joint" else self._optimizer.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Load the state dict of the second optimizer."""
        if self.variant != "joint":
            self._optimizer.load_state_dict(state)
