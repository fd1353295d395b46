"""Samplers: which training images an epoch visits, and in what order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

Sampler = Literal["instance", "class-balanced"]


def epoch_indices(kind: Sampler, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Return the indices of one epoch's images, as many as there are images.

    ``instance`` is a permutation. ``class-balanced`` (RS) draws with replacement, P(i) proportional to 1/n_y.

    Args:
        kind: ``instance`` or ``class-balanced``.
        labels: int64, shape (N,), the training labels, on the CPU.
        generator: on the CPU, of this epoch.

    Returns:
        Int64, shape (N,), on the CPU.

    Raises:
        ValueError: another kind.

    >>> epoch_indices("instance", torch.tensor([0, 0, 1]), torch.Generator().manual_seed(0)).sort().values
    tensor([0, 1, 2])
    """
    if kind == "instance":
        return torch.randperm(len(labels), generator=generator)
    if kind == "class-balanced":
        return _class_balanced(labels, generator)
    raise ValueError(f"`kind` must be 'instance' or 'class-balanced', got {kind!r}")


def _class_balanced(labels: Tensor, generator: torch.Generator) -> Tensor:
    # A uniform class, then a uniform image of it: each image has chance 1/(K n_y), which is proportional to
    # 1/n_y. torch.multinomial over the images would do the same but refuses more than 2^24 of them.
    by_class = labels.argsort(stable=True)
    counts = labels.bincount()
    counts = counts[counts > 0]  # a class without images is never drawn
    first = counts.cumsum(0) - counts
    drawn = torch.randint(len(counts), labels.shape, generator=generator)
    # float64: a float32 uniform has 24 bits and would never reach most images of a very large class
    within = torch.rand(labels.shape, generator=generator, dtype=torch.float64) * counts[drawn]
    return by_class[first[drawn] + within.long()]


def batches_of(images: int, size: int) -> Iterator[slice]:
    """Yield the slices of an epoch's order that make up its batches, the last one perhaps smaller.

    A last batch of a single image would have no variance for BatchNorm: it joins the batch before it.

    >>> list(batches_of(5, 2))
    [slice(0, 2, None), slice(2, 5, None)]
    """
    starts = list(range(0, images, size))
    if len(starts) > 1 and images - starts[-1] == 1:
        starts.pop()
    for start, stop in zip(starts, [*starts[1:], images], strict=True):
        yield slice(start, stop)
