"""One pass over a split in evaluation mode: its loss, its confusion matrix, its features by class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trainables.components.network import Network, Outputs
from trainables.components.posthoc.posthoc_change import PostHoc, pick
from trainables.core.metrics import TOP_K, top_k
from trainables.data.pipeline.augment import BatchPipeline
from trainables.methods.plan import Loss

_BATCH = 512


class Evaluation(NamedTuple):
    """What one pass over a split found.

    Attributes:
        loss: mean over images, in nats; without the post-hoc change.
        confusion: int64 (K, K) on the CPU, true classes as rows.
        top: k -> share of images whose class is among the k largest logits.
        posthoc_value: the value of the post-hoc change, or None.
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
) -> Evaluation:
    """Evaluate a network on a split.

    Args:
        network: put into evaluation mode.
        images: the split.
        loss: per example.
        posthoc: change of the head; its value is picked on these images.
        class_means: as the post-hoc change asks for.
        only: the post-hoc value to use instead of picking one.
    """
    network.eval()
    total, parts = torch.zeros((), dtype=torch.float64, device=images.labels.device), []
    for batch, labels in images.in_order(_BATCH):
        outputs = network(batch)
        total += loss(outputs, labels).double().sum()
        parts.append(outputs)
    outputs = Outputs(torch.cat([p.features for p in parts]), torch.cat([p.logits for p in parts]))
    count = max(1, len(images))
    picked = pick(posthoc or AsTrained(), network.head, outputs, images.labels, class_means, only)
    top = {k: float(top_k(picked.logits, images.labels, k)) / count for k in TOP_K}
    value = picked.value if posthoc is not None else None
    return Evaluation(float(total) / count, picked.confusion, top, value)


class AsTrained:
    """The post-hoc change that changes nothing."""

    values: tuple[float, ...] = (0.0,)
    needs_class_means = False

    def logits(self, head: object, outputs: Outputs, value: float, class_means: Tensor | None) -> Tensor:
        """Return the head's own logits (B, K)."""
        return outputs.logits


@torch.no_grad()
def features_of(network: Network, images: BatchPipeline) -> Tensor:
    """Return the features of every image of a split, float32 (N, d) on the CPU, in evaluation mode."""
    network.eval()
    found = [network.features(batch).cpu() for batch, _ in images.in_order(_BATCH)]
    return torch.cat([torch.zeros(0, network.backbone.feature_dim), *found])


@torch.no_grad()
def class_means(network: Network, images: BatchPipeline, num_classes: int) -> Tensor:
    """Return the mean feature of every class, float32 (K, d), in evaluation mode; zeros for a class without images."""
    network.eval()
    sums: Tensor | None = None
    for batch, labels in images.in_order(_BATCH):
        features = network.features(batch).double()
        if sums is None:
            sums = features.new_zeros(num_classes, features.shape[1])
        sums.index_add_(0, labels, features)
    assert sums is not None
    counts = torch.zeros(num_classes, device=sums.device, dtype=sums.dtype)
    counts.index_add_(0, images.labels, counts.new_ones(len(images.labels)))
    return (sums / counts.clamp_min(1).unsqueeze(1)).float()
