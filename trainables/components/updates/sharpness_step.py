"""Sharpness-aware minimisation (SAM): the gradient at adversarially perturbed weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from trainables.components.network import Outputs
from trainables.components.updates.gradient_step import Step, Update


class SharpnessAwareUpdate(Update):
    """w <- w - eta grad L(w + rho g/||g||) with g = grad L(w), over the parameters trained in this stage.

    BatchNorm updates its running statistics only in the first pass, at w, since w is evaluated. The weights are
    restored from a copy, because adding and subtracting the perturbation would round.

    Args:
        rho: Euclidean norm of the perturbation over all trained parameters together, at least 0.

    Source: Foret, Kleiner, Mobahi and Neyshabur, 2021, algorithm 1 and eq 2 (p = 2).
    """

    def __init__(self, rho: float) -> None:
        self.rho = rho

    def __call__(self, step: Step) -> tuple[Outputs, Tensor]:
        """Step along the gradient at the perturbed weights; return the outputs and the scalar loss at w."""
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
        """Add rho g/||g|| to the weights in place (nothing if g is 0) and return copies of the original weights."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        kept = [weight.clone() for weight in weights]
        length = self.rho / (get_total_norm(gradients) + 1e-12)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.add_(gradient * length)
        return kept
