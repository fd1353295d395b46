from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.components.batch import EpochOrder
from trainables.components.sampling import batches_of
from trainables.components.transforms.generation_sites import (
    SeedPools,
    Sites,
    draw_other_labels,
    draw_sites,
    pick_in_proportion,
)

COUNTS = torch.tensor([30, 100, 10, 100, 99])  # the largest classes stand anywhere


def _order(labels: Tensor, size: int = 50, seed: int = 0) -> EpochOrder:
    parts = tuple(batches_of(len(labels), size))
    return EpochOrder(torch.arange(len(labels)), labels, parts, torch.Generator().manual_seed(seed))


def _labels(count: int, seed: int = 1) -> Tensor:
    return torch.randint(5, (count,), generator=torch.Generator().manual_seed(seed))


def _accept(beta: float, k0: int, k: int) -> float:
    return 1 - beta ** max(int(COUNTS[k0]) - int(COUNTS[k]), 0)


def test_sites_name_examples_and_seeds_of_their_own_batch() -> None:
    labels = _labels(120)
    order = _order(labels)
    sites = draw_sites(order, COUNTS, 0.9)
    assert len(sites.steps) == len(order.batches) == 3
    assert sites.steps[-1].stop == len(sites.examples) > 0
    for part, own in zip(order.batches, sites.steps, strict=True):
        inside = labels[part]
        assert torch.equal(inside[sites.examples[own]], sites.targets[own])
        assert torch.equal(inside[sites.seeds[own]], sites.seed_classes[own])
        assert len(sites.examples[own].unique()) == len(sites.examples[own])
    assert (COUNTS[sites.seed_classes] > COUNTS[sites.targets]).all()


def test_the_largest_classes_have_no_sites_and_rare_ones_no_seeds() -> None:
    sites = draw_sites(_order(_labels(5000)), COUNTS, 0.0)
    assert not set(sites.targets.tolist()) & {1, 3}
    assert 2 not in sites.seed_classes.tolist()
    assert set(sites.targets.tolist()) == {0, 2, 4}


def test_classes_are_generated_as_often_as_the_paper_says() -> None:
    beta, labels = 0.99, _labels(40_000)
    order = _order(labels, size=200)
    sites = draw_sites(order, COUNTS, beta)
    found, expected = np.zeros((5, 5)), np.zeros((5, 5))
    for k, k0 in zip(sites.targets.tolist(), sites.seed_classes.tolist(), strict=True):
        found[k, k0] += 1
    for part in order.batches:
        here = np.bincount(labels[part], minlength=5)
        for k in range(5):
            weights = np.array([here[k0] * _accept(beta, k0, k) for k0 in range(5)])
            if weights.sum() == 0:
                continue
            for k0 in range(5):  # site, seed class, acceptance
                chance = 1 - int(COUNTS[k]) / int(COUNTS.max())
                expected[k, k0] += here[k] * chance * weights[k0] / weights.sum() * _accept(beta, k0, k)
    assert (found[expected == 0] == 0).all()
    np.testing.assert_array_less(np.abs(found - expected), 5 * np.sqrt(expected) + 1e-9)


def test_balanced_counts_give_no_sites() -> None:
    sites = draw_sites(_order(_labels(300)), torch.full((5,), 20), 0.0)
    assert len(sites.examples) == 0
    assert all(own.start == own.stop for own in sites.steps)


def test_a_batch_without_a_more_frequent_class_has_no_sites() -> None:
    assert len(draw_sites(_order(torch.full((50,), 2)), COUNTS, 0.0).examples) == 0


def test_equal_generators_draw_alike() -> None:
    one, other = draw_sites(_order(_labels(200)), COUNTS, 0.9), draw_sites(_order(_labels(200)), COUNTS, 0.9)
    assert all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))
    assert len(draw_sites(_order(_labels(200), seed=5), COUNTS, 0.9).examples) != 0


def test_renamed_classes_give_the_same_sites() -> None:
    order = torch.tensor([2, 0, 4, 1, 3])  # new class k was class order[k]
    labels = _labels(200)
    one, other = (
        draw_sites(_order(labels), COUNTS, 0.9),
        draw_sites(_order(order.argsort()[labels]), COUNTS[order], 0.9),
    )
    assert torch.equal(one.examples, other.examples) and torch.equal(one.seeds, other.seeds)


def test_picks_are_the_inverse_of_the_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(40, 7, generator=generator, dtype=torch.float64) * (
        torch.rand(40, 7, generator=generator) < 0.5
    )
    uniform = torch.rand(40, generator=generator, dtype=torch.float64)
    for row, u, found in zip(
        weights.tolist(), uniform.tolist(), pick_in_proportion(weights, uniform).tolist(), strict=True
    ):
        if sum(row) == 0:
            continue
        wanted, seen = 0, row[0]
        while seen <= u * sum(row):
            wanted += 1
            seen += row[wanted]
        assert found == wanted and row[found] > 0


def test_a_random_label_is_neither_target_nor_seed() -> None:
    targets, classes = torch.cartesian_prod(torch.arange(5), torch.arange(5)).repeat(400, 1).unbind(1)
    differ = targets != classes
    nothing = torch.empty(0)
    sites = Sites(nothing, nothing, targets[differ], classes[differ], (), 0)
    labels = draw_other_labels(sites, 5, torch.Generator().manual_seed(0))
    assert not ((labels == sites.targets) | (labels == sites.seed_classes)).any()
    assert labels.min() >= 0 and labels.max() < 5
    of_one_pair = labels[(sites.targets == 1) & (sites.seed_classes == 3)].bincount(minlength=5)
    assert (of_one_pair[[0, 2, 4]] > 100).all()


@pytest.mark.parametrize("size", [1, 10, 50])
def test_a_pool_holds_so_many_images_of_a_class_and_no_more(size: int) -> None:
    labels = torch.repeat_interleave(torch.arange(5), COUNTS)[torch.randperm(339)]
    pools = SeedPools(labels, 5, size)
    classes = torch.arange(5).repeat(3000)
    rows = pools.draw(classes, torch.Generator().manual_seed(0))
    assert torch.equal(labels[rows], classes)
    for k, count in enumerate(COUNTS.tolist()):
        assert len(rows[classes == k].unique()) == min(size, count)


def test_pools_are_nested_and_the_same_every_time() -> None:
    labels = torch.repeat_interleave(torch.arange(5), COUNTS)
    classes = torch.arange(5).repeat(3000)
    drawn = {
        size: set(SeedPools(labels, 5, size).draw(classes, torch.Generator().manual_seed(size)).tolist())
        for size in (5, 10, 20)
    }
    assert drawn[5] < drawn[10] < drawn[20]
    again = SeedPools(labels, 5, 5).draw(classes, torch.Generator().manual_seed(77))
    assert set(again.tolist()) == drawn[5]
