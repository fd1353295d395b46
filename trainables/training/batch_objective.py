"""From losses per example to the one number a step minimises."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.batch import Batch
from trainables.components.class_weights import weighted_mean
from trainables.components.heads import Head
from trainables.components.network import Outputs
from trainables.methods.plan import Stage


def batch_objective(stage: Stage, head: Head, batch: Batch, outputs: Outputs) -> Tensor:
    """Return the weighted mean of a batch's losses plus the head's penalty, a scalar.

    A mixed image counts as two examples, one of each label, that share its weight.

    Args:
        stage: loss, class weights and what their sum is divided by.
        head: may add a penalty.
        batch: labels, (B,), and what was mixed in.
        outputs: of the network on the batch.
    """
    losses, weights = stage.loss(outputs, batch.labels), _class_weights(stage, batch.labels)
    if batch.other_labels is not None and batch.share is not None:
        shares = torch.cat([2 * batch.share, 2 * (1 - batch.share)])  # of mean 1, as weights of examples are
        losses = torch.cat([losses, stage.loss(outputs, batch.other_labels)])
        of_both = _class_weights(stage, torch.cat([batch.labels, batch.other_labels]))
        weights = shares if of_both is None else shares * of_both
    mean = losses.mean() if weights is None else weighted_mean(losses, weights, stage.weighted_over)
    penalty = head.penalty()
    return mean if penalty is None else mean + penalty


def _class_weights(stage: Stage, labels: Tensor) -> Tensor | None:
    return None if stage.class_weights is None else stage.class_weights[labels]
