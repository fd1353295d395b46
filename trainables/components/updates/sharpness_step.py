"""Sharpness-aware minimisation: the gradient is taken where the loss is worst nearby."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from trainables.components.network import Outputs
from trainables.components.updates.gradient_step import Step, Update


class SharpnessAwareUpdate(Update):
    """w <- w - eta grad L(w + rho g/||g||), g = grad L(w), over the parameters that the stage trains.

    BatchNorm's running statistics move in the first pass alone, at w, the weights that are evaluated. The weights
    come back from a copy: adding and subtracting would round.

    Args:
        rho: Euclidean length of the perturbation, over all trained parameters together, at least 0.

    Source: Foret, Kleiner, Mobahi and Neyshabur, 2021, algorithm 1 and eq 2 (p = 2).
    """

    def __init__(self, rho: float) -> None:
        self.rho = rho

    def __call__(self, step: Step) -> tuple[Outputs, Tensor]:
        """Step along the gradient at the perturbed weights; return outputs and scalar loss at w."""
        outputs = step.forward()
        loss = step.objective(outputs)
        step.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        weights = [p for p in step.parameters if p.grad is not None]
        kept = self._perturb(weights)
        perturbed = step.objective((step.forward_frozen_stats or step.forward)())
        step.optimizer.zero_grad(set_to_none=True)
        perturbed.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for weight, before in zip(weights, kept, strict=True):
                weight.copy_(before)
        step.optimizer.step()
        return outputs, loss

    @torch.no_grad()
    def _perturb(self, weights: list[torch.nn.Parameter]) -> list[Tensor]:
        """Move the weights by rho g/||g|| and return what they were; a gradient of 0 moves nothing."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        kept = [weight.clone() for weight in weights]
        length = self.rho / (get_total_norm(gradients) + 1e-12)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.add_(gradient * length)
        return kept
