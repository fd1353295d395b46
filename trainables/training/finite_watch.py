"""Watch a loss for infinities without asking the device at every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class NonFiniteLoss(ArithmeticError):
    """A loss was infinite or not a number; the trial cannot continue."""


class FiniteWatch:
    """Keeps the loss and the largest |logit| of every step of an epoch on the device.

    Nothing is read from the device before `mean_loss`, so that steps are queued without waiting; and one
    operation a step is all that it adds, since on a small network each costs a hundredth of the step.
    """

    def __init__(self) -> None:
        """Start an epoch."""
        self._losses: list[Tensor] = []
        self._largest: list[Tensor] = []
        self._examples: list[int] = []

    def update(self, loss: Tensor, logits: Tensor, examples: int) -> None:
        """Take in the next step: its scalar mean loss, its logits (B, K), its number of examples."""
        self._losses.append(loss.detach())
        self._largest.append(torch.linalg.vector_norm(logits.detach(), math.inf))
        self._examples.append(examples)

    def mean_loss(self, *, epoch: int, learning_rate: float) -> float:
        """Return the epoch's mean loss per example, in nats.

        Raises:
            NonFiniteLoss: some step's loss was not finite; names epoch, step and values.
        """
        steps = len(self._examples)
        if not steps:
            return 0.0
        seen = torch.stack([t.float() for t in (*self._losses, *self._largest)]).tolist()
        losses, largest = seen[:steps], seen[steps:]
        for step, loss in enumerate(losses):
            if not math.isfinite(loss):
                raise NonFiniteLoss(
                    f"loss {loss} at epoch {epoch}, step {step} "
                    f"(largest |logit| {largest[step]:.4g}, learning rate {learning_rate:.4g})"
                )
        total = math.fsum(n * loss for n, loss in zip(self._examples, losses, strict=True))
        return total / sum(self._examples)
