"""Batch objective: the scalar that a training step minimises, from the losses per example."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.batch import Batch
from trainables.components.class_weights import weighted_mean
from trainables.components.heads import Head
from trainables.components.network import Outputs
from trainables.core.errors import BadInput
from trainables.methods.plan import Stage


class WrongLossShape(BadInput):
    """The loss of a user's method does not give one value per image; a training would minimise something else."""


def batch_objective(stage: Stage, head: Head, batch: Batch, outputs: Outputs, *, method: str) -> Tensor:
    """Return the weighted mean of the losses of a batch plus the head's penalty, a scalar.

    A mixed image counts as two examples, one per label, which share its weight.

    Args:
        stage: provides the loss, the class weights and the divisor of the weighted sum.
        head: may add a penalty.
        batch: labels (B,) and, for mixed images, the other labels and their shares.
        outputs: of the network on the batch.
        method: its name, for the error.

    Raises:
        WrongLossShape: the loss is not a tensor of shape (B,).
    """
    losses, weights = _losses(stage, outputs, batch.labels, method), _class_weights(stage, batch.labels)
    if batch.other_labels is not None and batch.share is not None:
        shares = torch.cat([2 * batch.share, 2 * (1 - batch.share)])  # mean 1, like the class weights
        losses = torch.cat([losses, _losses(stage, outputs, batch.other_labels, method)])
        of_both = _class_weights(stage, torch.cat([batch.labels, batch.other_labels]))
        weights = shares if of_both is None else shares * of_both
    mean = losses.mean() if weights is None else weighted_mean(losses, weights, stage.weighted_over)
    penalty = head.penalty()
    return mean if penalty is None else mean + penalty


def _losses(stage: Stage, outputs: Outputs, labels: Tensor, method: str) -> Tensor:
    losses = stage.loss(outputs, labels)
    if not isinstance(losses, Tensor) or losses.shape != labels.shape:
        found = f"the shape {tuple(losses.shape)}" if isinstance(losses, Tensor) else f"type {type(losses).__name__}"
        raise WrongLossShape(
            f"method '{method}': the loss of stage '{stage.name}' has {found}; expected a tensor of shape (B,), "
            f'one value per image, here {tuple(labels.shape)} (`reduction="none"`?)'
        )
    return losses


def _class_weights(stage: Stage, labels: Tensor) -> Tensor | None:
    return None if stage.class_weights is None else stage.class_weights[labels]
