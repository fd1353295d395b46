from __future__ import annotations

import numpy as np

from trainables.training.balanced_sample import balanced_sample, pictured_classes


def test_every_class_has_equally_many_images_and_none_stands_twice() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(5), [40, 200, 25, 90, 60]))
    rows = balanced_sample(labels, np.arange(5), 50, seed=3)
    assert np.bincount(labels[rows]).tolist() == [25] * 5
    assert len(set(rows.tolist())) == 125
    assert labels[rows].tolist() == sorted(labels[rows].tolist())
    assert np.bincount(labels[balanced_sample(labels, np.arange(5), 20, seed=3)]).tolist() == [20] * 5


def test_the_sample_depends_on_the_seed_alone_and_a_class_not_on_the_others() -> None:
    labels = np.repeat(np.arange(4), 30)
    rows = balanced_sample(labels, np.arange(4), 10, seed=0)
    assert rows.tolist() == balanced_sample(labels, np.arange(4), 10, seed=0).tolist()
    assert rows.tolist() != balanced_sample(labels, np.arange(4), 10, seed=1).tolist()
    alone = balanced_sample(labels, np.array([2]), 10, seed=0)
    assert alone.tolist() == [row for row in rows.tolist() if labels[row] == 2]


def test_a_rare_class_does_not_empty_the_picture() -> None:
    labels = np.repeat(np.arange(4), [100, 100, 3, 0])
    rows = balanced_sample(labels, np.arange(4), 50, seed=0)
    assert np.bincount(labels[rows], minlength=4).tolist() == [10, 10, 3, 0]
    assert len(balanced_sample(labels, np.array([3]), 50, seed=0)) == 0


def test_many_classes_are_sampled_over_all_ranks() -> None:
    counts = np.random.default_rng(0).permutation(np.arange(1, 1001))
    shown = pictured_classes(counts)
    assert len(shown) == 20
    assert (np.diff(counts[shown]) < 0).all()
    assert (counts[shown[0]], counts[shown[-1]]) == (1000, 1)
