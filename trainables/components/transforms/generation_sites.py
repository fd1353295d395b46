"""Generation sites and seed images of an epoch: the random draws of M2m, on the CPU."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trainables.components.batch import EpochOrder
from trainables.components.transforms.gradient_translation import acceptance_probability


class Sites(NamedTuple):
    """Accepted generation sites of an epoch, in the order of its steps.

    Attributes:
        examples: int64 (S,), positions in the batch that a generated image may replace.
        seeds: int64 (S,), positions in the batch of the seed images.
        targets: int64 (S,), classes k of the replaced examples.
        seed_classes: int64 (S,), classes k0 of the seeds.
        steps: for each step, the slice of the tensors above.
        drawn: number of generation sites drawn, including those without a seed and those refused.
    """

    examples: Tensor
    seeds: Tensor
    targets: Tensor
    seed_classes: Tensor
    steps: tuple[slice, ...]
    drawn: int


def draw_sites(order: EpochOrder, class_counts: Tensor, beta: float) -> Sites:
    """Sample the generation sites of an epoch.

    An example of class k is a site with probability 1 - n_k / n_max. Its seed is sampled from its batch in proportion
    to P(accept | k0, k), and the site is accepted with this probability. Acceptance does not depend on the generated
    image, so it is sampled first and rejected sites are never translated.

    Args:
        order: labels, batches and generator of the epoch.
        class_counts: n, int64, shape (K,), on the CPU.
        beta: parameter of `acceptance_probability`, in [0, 1).

    Source: Kim, Jeong and Shin, 2020, eqs 3 and 5, algorithm 1, and "Practical implementation via re-sampling".
    """
    chance = 1 - class_counts.double() / class_counts.max()
    is_site, picks, accepted = torch.rand(3, len(order.labels), generator=order.generator, dtype=torch.float64)
    examples, seeds, steps, count, drawn = [], [], [], 0, 0
    for part in order.batches:
        labels = order.labels[part]
        at = (is_site[part] < chance[labels]).nonzero().squeeze(1)
        drawn += len(at)
        counts = class_counts[labels]
        weights = acceptance_probability(counts, counts[at].unsqueeze(1), beta)
        chosen = pick_in_proportion(weights, picks[part][at])
        # without a valid seed every weight is 0, and so is the probability of acceptance
        kept = accepted[part][at] < weights.gather(1, chosen.unsqueeze(1)).squeeze(1)
        examples.append(at[kept])
        seeds.append(chosen[kept])
        steps.append(slice(count, count := count + int(kept.sum())))
    targets, classes = (
        torch.cat([order.labels[part][places] for part, places in zip(order.batches, found, strict=True)])
        for found in (examples, seeds)
    )
    return Sites(torch.cat(examples), torch.cat(seeds), targets, classes, tuple(steps), drawn)


def pick_in_proportion(weights: Tensor, uniform: Tensor) -> Tensor:
    """Return for each row of non-negative weights (S, B) a column sampled in proportion, by uniform numbers (S,).

    A row of zeros gives an arbitrary column.

    >>> pick_in_proportion(torch.tensor([[1.0, 0.0, 3.0]] * 2), torch.tensor([0.2, 0.25]))
    tensor([0, 2])
    """
    sums = weights.cumsum(1)
    found = torch.searchsorted(sums, uniform.unsqueeze(1) * sums[:, -1:], right=True)
    return found.squeeze(1).clamp_max(weights.shape[1] - 1)


def draw_other_labels(sites: Sites, num_classes: int, generator: torch.Generator) -> Tensor:
    """Sample a class (S,) per site, uniform over all classes but its target and its seed's class (M2m-RS-Rand).

    Args:
        sites: generation sites whose target and seed classes differ.
        num_classes: K, at least 3.
        generator: CPU generator.
    """
    found = torch.randint(num_classes - 2, sites.targets.shape, generator=generator)
    first, second = torch.minimum(sites.targets, sites.seed_classes), torch.maximum(sites.targets, sites.seed_classes)
    found = found + (found >= first)
    return found + (found >= second)


class SeedPools:
    """Restriction of the seeds to a pool of at most ``size`` training images per class (table 3 of the paper).

    Pools depend only on the labels and are nested: a smaller pool is a subset of a larger one.

    Args:
        labels: training labels, int64 (N,), on the CPU.
        num_classes: K.
        size: maximum number of images per class.
    """

    def __init__(self, labels: Tensor, num_classes: int, size: int) -> None:
        shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
        self._rows = shuffled[labels[shuffled].argsort(stable=True)]
        counts = labels.bincount(minlength=num_classes)
        self._first = counts.cumsum(0) - counts
        self._sizes = counts.clamp_max(size)

    def draw(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Sample a training row (S,) for each class (S,), uniform over the pool of that class."""
        uniform = torch.rand(classes.shape, generator=generator, dtype=torch.float64)
        return self._rows[self._first[classes] + (uniform * self._sizes[classes]).long()]
