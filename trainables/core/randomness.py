"""Random streams of a trial, seeded by (seed, epoch, purpose) so that any epoch can be repeated on its own."""

from __future__ import annotations

import torch

from trainables.core.derived_seeds import derive_seed


def epoch_generator(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """Return a new CPU generator for one purpose in one epoch of a trial.

    torch seeds its CPU generator with the lower 32 bits only. Two of the roughly thousand streams of a trial coincide
    with a probability of about 1e-4 and would then draw the same numbers, which is harmless.

    >>> torch.rand(1, generator=epoch_generator(0, 0, "order")).shape
    torch.Size([1])
    """
    return torch.Generator().manual_seed(derive_seed(seed, epoch, purpose))
