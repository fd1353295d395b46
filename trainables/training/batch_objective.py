"""Batch objective: the scalar that a training step minimises, from the losses per example."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.batch import Batch
from trainables.components.class_weights import weighted_mean
from trainables.components.heads import Head
from trainables.components.network import Outputs
from trainables.methods.plan import Stage


def batch_objective(stage: Stage, head: Head, batch: Batch, outputs: Outputs) -> Tensor:
    """Return the weighted mean of the losses of a batch plus the head's penalty, a scalar.

    A mixed image counts as two examples, one per label, which share its weight.

    Args:
        stage: provides the loss, the class weights and the divisor of the weighted sum.
        head: may add a penalty.
        batch: labels (B,) and, for mixed images, the other labels and their shares.
        outputs: of the network on the batch.
    """
    losses, weights = stage.loss(outputs, batch.labels), _class_weights(stage, batch.labels)
    if batch.other_labels is not None and batch.share is not None:
        shares = torch.cat([2 * batch.share, 2 * (1 - batch.share)])  # mean 1, like the class weights
        losses = torch.cat([losses, stage.loss(outputs, batch.other_labels)])
        of_both = _class_weights(stage, torch.cat([batch.labels, batch.other_labels]))
        weights = shares if of_both is None else shares * of_both
    mean = losses.mean() if weights is None else weighted_mean(losses, weights, stage.weighted_over)
    penalty = head.penalty()
    return mean if penalty is None else mean + penalty


def _class_weights(stage: Stage, labels: Tensor) -> Tensor | None:
    return None if stage.class_weights is None else stage.class_weights[labels]
