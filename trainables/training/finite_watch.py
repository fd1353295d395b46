"""Detection of non-finite losses without a device synchronisation in every step."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class NonFiniteLoss(ArithmeticError):
    """A loss is infinite or NaN; the trial cannot continue."""


class FiniteWatch:
    """Collects the loss and the largest |logit| of every step of an epoch on the device.

    Values are read only in `mean_loss`, so that steps are queued without a synchronisation. Each step adds a single
    operation, because on a small network every operation costs about 1 % of the step.
    """

    def __init__(self) -> None:
        """Start with an empty epoch."""
        self._losses: list[Tensor] = []
        self._largest: list[Tensor] = []
        self._examples: list[int] = []

    def update(self, loss: Tensor, logits: Tensor, examples: int) -> None:
        """Add a step: its scalar mean loss, its logits (B, K) and its number of examples."""
        self._losses.append(loss.detach())
        self._largest.append(torch.linalg.vector_norm(logits.detach(), math.inf))
        self._examples.append(examples)

    def mean_loss(self, *, epoch: int, learning_rate: float) -> float:
        """Return the epoch's mean loss per example, in nats.

        Raises:
            NonFiniteLoss: if the loss of a step is not finite; the message gives epoch, step and values.
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
