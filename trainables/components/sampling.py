"""Instance-balanced and class-balanced sampling of an epoch, and its division into batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

Sampler = Literal["instance", "class-balanced"]


def epoch_indices(kind: Sampler, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Sample the image indices of one epoch, as many as there are training images.

    ``instance`` is a random permutation. ``class-balanced`` (RS) samples with replacement, P(i) proportional to 1/n_y.

    Args:
        kind: ``instance`` or ``class-balanced``.
        labels: training labels, int64, shape (N,), on the CPU.
        generator: CPU generator of this epoch.

    Returns:
        Indices, int64, shape (N,), on the CPU.

    Raises:
        ValueError: if ``kind`` is unknown.

    >>> epoch_indices("instance", torch.tensor([0, 0, 1]), torch.Generator().manual_seed(0)).sort().values
    tensor([0, 1, 2])
    """
    if kind == "instance":
        return torch.randperm(len(labels), generator=generator)
    if kind == "class-balanced":
        return _class_balanced(labels, generator)
    raise ValueError(f"`kind` must be 'instance' or 'class-balanced', got {kind!r}")


def _class_balanced(labels: Tensor, generator: torch.Generator) -> Tensor:
    # A uniform class, then a uniform image of it: P(i) = 1/(K n_y). torch.multinomial over the images would do the
    # same but is limited to 2^24 categories.
    by_class = labels.argsort(stable=True)
    counts = labels.bincount()
    counts = counts[counts > 0]  # classes without images are never sampled
    first = counts.cumsum(0) - counts
    drawn = torch.randint(len(counts), labels.shape, generator=generator)
    # float64: a float32 uniform has 24 bits and could not reach every image of a very large class
    within = torch.rand(labels.shape, generator=generator, dtype=torch.float64) * counts[drawn]
    return by_class[first[drawn] + within.long()]


def batches_of(images: int, size: int) -> Iterator[slice]:
    """Yield the slices of an epoch's order that form its batches; the last batch may be smaller.

    A last batch of one image is merged into the batch before it, since BatchNorm needs more than one image.

    >>> list(batches_of(5, 2))
    [slice(0, 2, None), slice(2, 5, None)]
    """
    starts = list(range(0, images, size))
    if len(starts) > 1 and images - starts[-1] == 1:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], images], strict=True):
        yield slice(start, stop)
