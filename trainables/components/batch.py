"""A batch on its way into the network, and what may change it there: mixing, interpolation, translation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from trainables.components.network import Network
    from trainables.data.pipeline.augment import BatchPipeline


class Batch(NamedTuple):
    """Images and labels of one step.

    Attributes:
        pixels: augmented, not normalised, (B, C, H, W), uint8 or float, in 0..255.
        labels: int64 (B,).
        other_labels: int64 (B,) of the images that were mixed in, or None.
        share: float32 (B,), in [0, 1]: the weight of ``labels``; ``other_labels`` have the rest.
    """

    pixels: Tensor
    labels: Tensor
    other_labels: Tensor | None = None
    share: Tensor | None = None


class EpochOrder(NamedTuple):
    """Which images an epoch visits, all on the CPU, so that a transform can draw a whole epoch at once.

    Attributes:
        rows: int64 (N,), rows of the training split, in the order they are visited.
        labels: int64 (N,), their labels.
        batches: the slices of both that make up the steps.
        generator: of this epoch, on the CPU, for the transform's own draws.
    """

    rows: Tensor
    labels: Tensor
    batches: tuple[slice, ...]
    generator: torch.Generator


class TransformContext(NamedTuple):
    """What a transform may use over a stage; all of it outlives the stage.

    Attributes:
        network: that is trained; whoever changes its mode or gradients puts them back.
        pipeline: the training images on the device.
        class_counts: int64 (K,), on the device.
        reference: returns the frozen network that `Method.reference` asks for, trained when first called.
    """

    network: Network
    pipeline: BatchPipeline
    class_counts: Tensor
    reference: Callable[[], Network]


class BatchTransform(Protocol):
    """Changes the batches of a stage between augmentation and normalisation."""

    def begin_stage(self, context: TransformContext) -> None:
        """Prepare for a stage, or for its rest after a resume: nothing here may depend on trained weights."""

    def begin_epoch(self, order: EpochOrder) -> None:
        """Make the draws of an epoch, from its generator alone."""

    def __call__(self, batch: Batch, step: int) -> Batch:
        """Return the batch of a step, 0-based within the epoch, changed; nothing waits for the device."""
