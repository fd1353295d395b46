"""A few images on which transforms can be followed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from trainables.components.batch import Batch, BatchTransform, EpochOrder, TransformContext
from trainables.components.sampling import batches_of, epoch_indices
from trainables.data import Split
from trainables.data.pipeline.batch_pipeline import BatchPipeline

Run = Callable[..., tuple[list[Batch], list[Batch], Tensor]]


@pytest.fixture
def split() -> Split:
    """Classes of 24, 12, 6, 2 and 1 images of noise in all of 0..255, 3 x 6 x 5."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(5).repeat_interleave(torch.tensor([24, 12, 6, 2, 1]))
    labels = labels[torch.randperm(45, generator=generator)]
    return Split(torch.randint(256, (45, 3, 6, 5), generator=generator, dtype=torch.uint8), labels)


@pytest.fixture
def run(split: Split) -> Run:
    """Run one epoch of a transform; return its batches, those without it, and the rows in order."""

    def go(
        transform: BatchTransform, *, seed: int = 0, sampler: Any = "instance", size: int = 16, **pipeline: Any
    ) -> tuple[list[Batch], list[Batch], Tensor]:
        images = BatchPipeline(split, (0.5,) * 3, (0.25,) * 3, **pipeline)
        rows = epoch_indices(sampler, split.labels, torch.Generator().manual_seed(1))
        parts = tuple(batches_of(len(rows), size))
        # neither looks at a network
        nothing = cast(Any, None)
        transform.begin_stage(TransformContext(nothing, images, split.labels.bincount(), nothing))
        transform.begin_epoch(EpochOrder(rows, split.labels[rows], parts, torch.Generator().manual_seed(seed)))
        plain = [Batch(images.pixels(rows[part]), images.labels[rows[part]]) for part in parts]
        return [transform(batch, step) for step, batch in enumerate(plain)], plain, rows

    return go
