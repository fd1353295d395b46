"""A linear softmax classifier in float64 whose every number can be computed by hand, and steps on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainables.components.losses.cross_entropy import cross_entropy
from trainables.components.network import Outputs
from trainables.components.updates import Step, Update
from trainables.core.config import TrainingConfig

Array = np.ndarray
TRAINING = TrainingConfig(lr=0.3, momentum=0.9, weight_decay=0.05)


@dataclass
class Lab:
    """Six examples with three features and K classes, and an update that trains on them."""

    images: Tensor
    labels: Tensor
    start: Tensor

    def train(self, update: Update, steps: int = 4) -> Tensor:
        """Return W (K, 3) after steps on all examples, at falling rates."""
        weight = nn.Parameter(self.start.clone())
        optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.05, fused=True)
        update.prepare([weight], TRAINING)

        def forward() -> Outputs:
            return Outputs(self.images, self.images @ weight.T)

        def objective(outputs: Outputs) -> Tensor:
            return cross_entropy(outputs.logits, self.labels).mean()

        for done in range(steps):
            rate = 0.3 / (done + 1)  # an update follows the schedule
            optimizer.param_groups[0]["lr"] = rate
            update(Step(forward, objective, self.labels, optimizer, [weight], rate))
        return weight.detach()

    def cross_entropy_gradient(self, weight: Array) -> Array:
        """Return the gradient of the mean cross entropy, (K, 3), by loops."""
        total = np.zeros_like(weight)
        for x, y in zip(self.images.numpy(), self.labels.tolist(), strict=True):
            p = np.exp(weight @ x) / np.exp(weight @ x).sum()
            p[y] -= 1
            total += np.outer(p, x)
        return total / len(self.labels)


@pytest.fixture
def make_lab() -> Callable[..., Lab]:
    """Build a lab of K classes."""

    def make(classes: int = 4) -> Lab:
        generator = torch.Generator().manual_seed(classes)
        images = torch.randn(6, 3, generator=generator, dtype=torch.float64)
        labels = torch.randint(classes, (6,), generator=generator)
        return Lab(images, labels, torch.randn(classes, 3, generator=generator, dtype=torch.float64))

    return make
