"""Which rows train, validate and test: disjoint, nested, noisy as asked, and drawn by the subset seed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data.subset_selection import TrainSelection, add_label_noise, select_training, split_test

NAMES = ("a", "b", "c")
LABELS = np.random.default_rng(1).permutation(np.repeat(np.arange(3), (60, 40, 50)))


def config(**changes: Any) -> DataConfig:
    return DataConfig.model_validate({"dataset": "x", "profile": {"kind": "natural"}, **changes})


def select(labels: np.ndarray = LABELS, **changes: Any) -> TrainSelection:
    return select_training(labels, NAMES, config(**changes))


def long_tail(ratio: float) -> dict[str, Any]:
    return {"kind": "long_tail", "ratio": ratio}


@given(st.floats(0.01, 0.99), st.integers(0, 2**40))
def test_holdout_is_balanced_and_apart_from_training(fraction: float, seed: int) -> None:
    chosen = select(validation_fraction=fraction, subset_seed=seed)
    per_class = max(1, int(fraction * 40 + 1e-9))
    assert np.bincount(LABELS[chosen.held_out]).tolist() == [per_class] * 3
    assert not set(chosen.held_out) & set(chosen.rows)
    assert len(chosen.held_out) + len(chosen.rows) == len(LABELS)


@pytest.mark.parametrize("protocol", ["m2m", "test-select"])
def test_other_protocols_keep_all_of_train(protocol: str) -> None:
    chosen = select(protocol=protocol)
    assert chosen.rows.tolist() == list(range(150)) and len(chosen.held_out) == 0


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 1000))
def test_a_larger_ratio_keeps_a_subset(first: int, second: int, seed: int) -> None:
    small, large = sorted((first, second))
    wide = select(profile=long_tail(small), subset_seed=seed)
    narrow = select(profile=long_tail(large), subset_seed=seed)
    assert set(narrow.rows) <= set(wide.rows)
    assert narrow.held_out.tolist() == wide.held_out.tolist()


def test_the_profile_is_applied_after_holdout() -> None:
    chosen = select(profile=long_tail(6), validation_fraction=0.1)
    assert np.bincount(chosen.labels).tolist() == [36, 14, 6]  # the smallest class, 40, less 4


def test_holdout_and_m2m_train_on_the_same_images_where_counts_allow() -> None:
    profile = {"kind": "step", "ratio": 2}
    holdout, m2m = select(profile=profile), select(profile=profile, protocol="m2m")
    assert set(holdout.rows) <= set(m2m.rows)


def test_rows_stand_in_file_order_with_their_labels() -> None:
    chosen = select(profile=long_tail(5))
    assert (np.diff(chosen.rows) > 0).all()
    assert (chosen.labels == LABELS[chosen.rows]).all()


def test_the_subset_seed_draws_and_repeats() -> None:
    one, again, other = (select(profile=long_tail(5), subset_seed=seed) for seed in (3, 3, 4))
    assert one.rows.tolist() == again.rows.tolist() != other.rows.tolist()


def test_the_draw_is_the_same_for_ever() -> None:
    # Records and fingerprints of finished studies rest on these numbers.
    chosen = select_training(np.repeat([0, 1], 10), ("a", "b"), config(profile=long_tail(3), subset_seed=5))
    assert chosen.rows.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 14, 15, 18]
    assert chosen.held_out.tolist() == [5, 12]


def test_classes_are_drawn_apart() -> None:
    # Images of another class change nothing.
    fewer = LABELS[LABELS < 2]
    rows = np.flatnonzero(LABELS < 2)
    ours = select_training(LABELS, NAMES, config(protocol="m2m", profile=long_tail(4))).rows
    theirs = select_training(fewer, NAMES[:2], config(protocol="m2m", profile=long_tail(4))).rows
    assert set(ours[LABELS[ours] == 0]) == set(rows[theirs][fewer[theirs] == 0])


@given(st.floats(0, 0.99), st.integers(2, 7), st.integers(0, 1000))
def test_noise_changes_the_share_asked_for(share: float, classes: int, seed: int) -> None:
    labels = np.arange(210) % classes
    rows = np.arange(3, 203)
    noisy = add_label_noise(labels, rows, classes, share, seed)
    assert (noisy != labels[rows]).sum() == round(share * 200)
    assert noisy.min() >= 0 and noisy.max() < classes


def test_noise_is_uniform_over_the_other_classes() -> None:
    labels = np.full(40_000, 2)
    noisy = add_label_noise(labels, np.arange(40_000), 5, 0.5, seed=0)
    found = np.bincount(noisy, minlength=5)
    assert found[2] == 20_000
    assert np.abs(found[[0, 1, 3, 4]] - 5000).max() < 5 * 61  # five standard deviations


def test_more_noise_changes_the_same_labels_and_further_ones() -> None:
    little, much = (select(label_noise=share, protocol="m2m").labels for share in (0.1, 0.4))
    changed = little != LABELS
    assert (much[changed] == little[changed]).all() and (much != LABELS).sum() > changed.sum()


def test_noise_is_applied_after_the_profile_and_spares_validation() -> None:
    clean, noisy = (select(profile=long_tail(4), label_noise=share) for share in (0, 0.3))
    assert noisy.rows.tolist() == clean.rows.tolist()
    assert noisy.held_out.tolist() == clean.held_out.tolist()
    assert (noisy.labels != clean.labels).sum() == round(0.3 * len(clean.rows))


def test_noise_that_empties_a_class_is_refused() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2])
    with pytest.raises(BadInput, match=r"label_noise 0\.15 leaves class 2 \('c'\) .*profile natural"):
        for seed in range(100):  # one label of seven changes: class 2's in one draw of seven
            select(labels, protocol="m2m", label_noise=0.15, subset_seed=seed)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_m2m_validates_on_the_first_rows_of_every_class(fraction: float) -> None:
    validates, reported = split_test(LABELS, NAMES, config(protocol="m2m", validation_fraction=fraction))
    assert sorted([*validates, *reported]) == list(range(150))
    for k, size in enumerate((60, 40, 50)):
        of_class = np.flatnonzero(k == LABELS)
        assert [row for row in validates if LABELS[row] == k] == of_class[: int(fraction * size)].tolist()


def test_holdout_reports_all_of_test_and_test_select_uses_it_twice() -> None:
    none, every = split_test(LABELS, NAMES, config(protocol="holdout"))
    assert len(none) == 0 and every.tolist() == list(range(150))
    validates, reported = split_test(LABELS, NAMES, config(protocol="test-select"))
    assert validates.tolist() == reported.tolist() == list(range(150))


@pytest.mark.parametrize(("protocol", "needed"), [("m2m", 2), ("test-select", 1)])
def test_validation_from_test_needs_images_of_every_class(protocol: str, needed: int) -> None:
    labels = np.array([0, 0, 1, 1] + [2] * (needed - 1))
    with pytest.raises(BadInput, match=rf"{protocol} .* needs {needed} .*class 2 \('c'\) has {needed - 1}"):
        split_test(labels, NAMES, config(protocol=protocol))


def test_holdout_needs_two_images_of_every_class() -> None:
    with pytest.raises(BadInput, match=r"holdout .*needs 2 .*class 1 \('b'\) has 1"):
        select(np.array([0, 0, 0, 1, 2, 2]))


def test_a_class_without_training_images_is_named() -> None:
    with pytest.raises(BadInput, match=r"class 2 \('c'\) has no training image"):
        select(np.array([0, 0, 0, 1, 1, 1]))
