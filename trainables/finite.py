"""Watch a loss for infinities without asking the device at every step."""

from __future__ import annotations

import torch
from torch import Tensor


class NonFiniteLoss(ArithmeticError):
    """A loss was infinite or not a number; the trial cannot continue."""


class FiniteWatch:
    """Sums the losses of an epoch on the device and keeps the first non-finite one with its step.

    Nothing is read from the device before `mean_loss`, so that steps are queued without waiting.
    """

    def __init__(self, device: torch.device) -> None:
        """Start an epoch."""
        self._total = torch.zeros((), dtype=torch.float64, device=device)
        # first bad step (-1: none), its loss, the largest |logit| of that step
        self._bad = torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64, device=device)
        self._examples = 0

    def see(self, step: int, loss: Tensor, logits: Tensor, examples: int) -> None:
        """Take in one step: its scalar mean loss, its logits (B, K), its number of examples."""
        self._total += loss.double() * examples
        self._examples += examples
        largest = logits.abs().amax().double()
        now = torch.stack((torch.full_like(self._total, step), loss.double(), largest))
        first = (self._bad[0] < 0) & ~torch.isfinite(loss)
        self._bad = torch.where(first, now, self._bad)

    def mean_loss(self, *, epoch: int, learning_rate: float) -> float:
        """Return the epoch's mean loss per example, in nats.

        Raises:
            NonFiniteLoss: some step's loss was not finite; names epoch, step and values.
        """
        step, loss, largest = self._bad.tolist()
        if step >= 0:
            raise NonFiniteLoss(
                f"loss {loss} at epoch {epoch}, step {int(step)} "
                f"(largest |logit| {largest:.4g}, learning rate {learning_rate:.4g})"
            )
        return float(self._total) / max(1, self._examples)
