"""Training batches, and the interface of the transforms applied to them: mixing, interpolation, translation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from trainables.core.workers import ALONE, Workers

if TYPE_CHECKING:
    from trainables.components.network import Network
    from trainables.data.pipeline.batch_pipeline import BatchPipeline


class Batch(NamedTuple):
    """Images and labels of one step.

    Attributes:
        pixels: augmented, not normalised, (B, C, H, W), uint8 or float, in 0..255.
        labels: int64 (B,).
        other_labels: int64 (B,), labels of the images mixed in, or None.
        share: float32 (B,), in [0, 1]: weight of ``labels``; ``other_labels`` have weight 1 - share.
    """

    pixels: Tensor
    labels: Tensor
    other_labels: Tensor | None = None
    share: Tensor | None = None


class EpochOrder(NamedTuple):
    """Sampling order of an epoch, on the CPU, so that a transform can sample for the whole epoch at once.

    Attributes:
        rows: int64 (N,), rows of the training split in sampling order.
        labels: int64 (N,), their labels.
        batches: slices of ``rows`` and ``labels``, one per step.
        generator: CPU generator of this epoch for the transform's own draws.
    """

    rows: Tensor
    labels: Tensor
    batches: tuple[slice, ...]
    generator: torch.Generator


class TransformContext(NamedTuple):
    """Objects available to a transform during a stage; all of them outlive the stage.

    Attributes:
        network: the trained network; a transform that changes its mode or gradients must restore them.
        pipeline: the training images on the device.
        class_counts: int64 (K,), on the device.
        reference: returns the frozen network required by `Method.reference`, which may be trained on the first call.
        workers: the processes that train together. All of them transform the same batches; costly work may be shared.
    """

    network: Network
    pipeline: BatchPipeline
    class_counts: Tensor
    reference: Callable[[], Network]
    workers: Workers = ALONE


class BatchTransform(Protocol):
    """Changes the batches of a stage between augmentation and normalisation."""

    def begin_stage(self, context: TransformContext) -> None:
        """Prepare for a stage, also after a resume within it; must not depend on trained weights."""

    def begin_epoch(self, order: EpochOrder) -> None:
        """Sample all random numbers of an epoch, from ``order.generator`` only."""

    def __call__(self, batch: Batch, step: int) -> Batch:
        """Return the transformed batch of a step (0-based within the epoch), without a device synchronisation."""
