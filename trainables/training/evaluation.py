"""Evaluation of a network on a split: loss, confusion matrix, top-k accuracy, features and class means."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trainables.components.network import Network, Outputs
from trainables.components.posthoc.posthoc_change import PostHoc, pick
from trainables.core.metrics import TOP_K, top_k
from trainables.core.workers import ALONE, Workers
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.methods.plan import Loss

_BATCH = 512


class Evaluation(NamedTuple):
    """Results of one evaluation pass over a split.

    Attributes:
        loss: mean loss per image, in nats, before any post-hoc adjustment.
        confusion: int64 (K, K) on the CPU, rows are true classes.
        top: k -> top-k accuracy in [0, 1].
        posthoc_value: value of the post-hoc adjustment, or None.
    """

    loss: float
    confusion: Tensor
    top: dict[int, float]
    posthoc_value: float | None = None


@torch.no_grad()
def evaluate(
    network: Network,
    images: BatchPipeline,
    loss: Loss,
    *,
    posthoc: PostHoc | None = None,
    class_means: Tensor | None = None,
    only: float | None = None,
    workers: Workers = ALONE,
) -> Evaluation:
    """Evaluate a network on a split.

    Args:
        network: the network; it is left in evaluation mode.
        images: pipeline of the split.
        loss: loss per example.
        posthoc: post-hoc adjustment of the logits; its value is selected on these images.
        class_means: mean training feature per class, (K, d), if the adjustment needs it.
        only: use this post-hoc value instead of selecting one.
        workers: the processes that share the work; every one has the whole result.

    Returns:
        Loss without, and metrics with, the post-hoc adjustment.
    """
    network.eval()
    total, parts = torch.zeros((), dtype=torch.float64, device=images.labels.device), []
    for batch, labels in images.in_order(_BATCH, _own_batches(images, workers)):
        outputs = network(batch)
        total += loss(outputs, labels).double().sum()
        parts.append(outputs)
    total, outputs = _of_all(total, parts, network, images, workers)
    count = max(1, len(images))
    picked = pick(posthoc or AsTrained(), network.head, outputs, images.labels, class_means, only)
    top = {k: float(top_k(picked.logits, images.labels, k)) / count for k in TOP_K}
    value = picked.value if posthoc is not None else None
    return Evaluation(float(total) / count, picked.confusion, top, value)


def _own_batches(images: BatchPipeline, workers: Workers) -> slice | None:
    """Return the rows of this process's batches, whole ones, so that every batch is evaluated as by one process."""
    if workers.alone:
        return None
    own = workers.share(-(-len(images) // _BATCH))
    return slice(own.start * _BATCH, min(own.stop * _BATCH, len(images)))


def _of_all(
    total: Tensor, parts: list[Outputs], network: Network, images: BatchPipeline, workers: Workers
) -> tuple[Tensor, Outputs]:
    """Put together the summed loss and the outputs of all processes, in the split's order."""
    if workers.alone:
        return total, Outputs(torch.cat([p.features for p in parts]), torch.cat([p.logits for p in parts]))
    own = _own_batches(images, workers)
    assert own is not None
    at = torch.arange(own.start, own.stop, device=total.device)
    none = total.new_zeros(0, network.backbone.feature_dim, dtype=torch.float32)
    no_parts = Outputs(none, network.head(none))  # more processes than batches
    features = torch.cat([no_parts.features, *(p.features for p in parts)])
    logits = torch.cat([no_parts.logits, *(p.logits for p in parts)])
    # every row is one process's: the others add zeros, which changes no bit
    whole = [rows.new_zeros(len(images), *rows.shape[1:]).index_copy_(0, at, rows) for rows in (features, logits)]
    return workers.sum(total), Outputs(workers.sum(whole[0]), workers.sum(whole[1]))


class AsTrained:
    """The identity as a post-hoc adjustment."""

    values: tuple[float, ...] = (0.0,)
    needs_class_means = False

    def logits(self, head: object, outputs: Outputs, value: float, class_means: Tensor | None) -> Tensor:
        """Return the head's logits (B, K) unchanged."""
        return outputs.logits


@torch.no_grad()
def adjusted_outputs(
    network: Network, images: BatchPipeline, posthoc: PostHoc | None, class_means: Tensor | None, value: float | None
) -> Outputs:
    """Return features (N, d) and logits (N, K) of a split, on the CPU.

    Args:
        network: the network; it is left in evaluation mode.
        images: pipeline of the split.
        posthoc: post-hoc adjustment of the logits.
        class_means: as in `evaluate`.
        value: value of the adjustment.
    """
    network.eval()
    parts = []
    for batch, _ in images.in_order(_BATCH):
        outputs = network(batch)
        if posthoc is not None and value is not None:
            outputs = Outputs(outputs.features, posthoc.logits(network.head, outputs, value, class_means))
        parts.append(Outputs(outputs.features.cpu(), outputs.logits.cpu()))
    return Outputs(torch.cat([p.features for p in parts]), torch.cat([p.logits for p in parts]))


@torch.no_grad()
def features_of(network: Network, images: BatchPipeline) -> Tensor:
    """Return the evaluation-mode features of a split, float32 (N, d) on the CPU."""
    network.eval()
    found = [network.features(batch).cpu() for batch, _ in images.in_order(_BATCH)]
    return torch.cat([torch.zeros(0, network.backbone.feature_dim), *found])


@torch.no_grad()
def class_means(network: Network, images: BatchPipeline, num_classes: int, workers: Workers = ALONE) -> Tensor:
    """Return the mean evaluation-mode feature per class, float32 (K, d); zeros for a class without images.

    Args:
        network: the network; it is left in evaluation mode.
        images: pipeline of the split.
        num_classes: K.
        workers: as in `evaluate`.
    """
    network.eval()
    sums: Tensor | None = None
    for batch, labels in images.in_order(_BATCH, _own_batches(images, workers)):
        features = network.features(batch).double()
        if sums is None:
            sums = features.new_zeros(num_classes, features.shape[1])
        sums.index_add_(0, labels, features)
    if not workers.alone:
        none = torch.zeros(num_classes, network.backbone.feature_dim, dtype=torch.double, device=images.labels.device)
        sums = workers.sum(none if sums is None else sums)
    assert sums is not None
    counts = torch.zeros(num_classes, device=sums.device, dtype=sums.dtype)
    counts.index_add_(0, images.labels, counts.new_ones(len(images.labels)))
    return (sums / counts.clamp_min(1).unsqueeze(1)).float()
