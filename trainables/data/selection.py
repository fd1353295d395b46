"""Which rows train, validate and test; drawn by the subset seed alone, in numpy, free of torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data.profiles import profile_counts

Ints = npt.NDArray[np.int64]

# Purposes of random streams; a number is never given to another purpose.
_SUBSET, _NOISE_PLACE, _NOISE_LABEL = 0, 1, 2


@dataclass(frozen=True)
class TrainSelection:
    """Rows of the training split.

    Attributes:
        rows: training rows in file order, (n,).
        labels: their labels after label noise, (n,).
        held_out: rows that validate under ``holdout``, in file order; empty under the other protocols.
    """

    rows: Ints
    labels: Ints
    held_out: Ints


def select_training(labels: Ints, class_names: tuple[str, ...], config: DataConfig) -> TrainSelection:
    """Draw the training rows, and under ``holdout`` the validation rows.

    ``holdout`` takes int(validation_fraction * smallest class), at least 1, from every class before the
    profile is applied, so that validation is balanced. Every class has a random order of its own that depends
    on ``subset_seed`` and the class alone: the profile keeps its beginning and ``holdout`` takes its end. So
    the subset at a larger ratio lies within the one at a smaller ratio, which makes ratios comparable.

    Args:
        labels: of the whole training split, (N,).
        class_names: (K,).
        config: profile, protocol, validation_fraction, label_noise and subset_seed count.

    Raises:
        BadInput: a class would have no training image.
    """
    classes = len(class_names)
    members = [np.flatnonzero(labels == k) for k in range(classes)]
    held = _held_out_per_class(members, class_names, config)
    counts = profile_counts(config.profile, [len(rows) - held for rows in members], class_names)
    kept, held_out = [], []
    for k, rows in enumerate(members):
        shuffled = rows[np.argsort(_draws(config.subset_seed, _SUBSET, k, len(rows)), kind="stable")]
        kept.append(shuffled[: counts[k]])
        held_out.append(shuffled[len(rows) - held :])
    chosen = np.sort(np.concatenate(kept))
    noisy = add_label_noise(labels, chosen, classes, config.label_noise, config.subset_seed)
    _refuse_empty(noisy, class_names, config)
    return TrainSelection(chosen, noisy, np.sort(np.concatenate(held_out)))


def add_label_noise(labels: Ints, rows: Ints, classes: int, share: float, seed: int) -> Ints:
    """Replace the labels of a share of the rows by another class, drawn uniformly.

    round(share * n) labels change, every one to a class that differs. Each row of the split has its own fixed
    draws, so more noise changes the same labels and further ones.

    Args:
        labels: of the whole split, (N,).
        rows: the rows that train, (n,).
        classes: K, at least 2.
        share: in [0, 1).
        seed: the subset seed.

    Returns:
        The labels of ``rows`` with noise, (n,).

    Source: the affinity paper, section 4.5.

    >>> rows, labels = np.arange(10), np.zeros(10, dtype=np.int64)
    >>> int((add_label_noise(labels, rows, 5, 0.3, seed=0) != labels).sum())
    3
    """
    noisy = labels[rows].copy()
    place = _draws(seed, _NOISE_PLACE, 0, len(labels))[rows]
    changed = np.argsort(place, kind="stable")[: round(share * len(rows))]
    step = _draws(seed, _NOISE_LABEL, 0, len(labels))[rows[changed]] % np.uint64(classes - 1)
    noisy[changed] = (noisy[changed] + 1 + step.astype(np.int64)) % classes
    return noisy


def split_test(labels: Ints, class_names: tuple[str, ...], config: DataConfig) -> tuple[Ints, Ints]:
    """Split the test rows into those that validate and those that are reported, both in file order.

    ``holdout`` and ``published``: none validates, all are reported. ``m2m``: of every class the first
    int(validation_fraction * size), at least 1, in file order validate, the others are reported.
    ``test-select``: all validate and all are reported (optimistic: selection sees the reported images).

    Raises:
        BadInput: under ``m2m`` a class has fewer than two test images, under ``test-select`` none.

    Source: Kim et al. 2020 (M2m), section 4.1.
    """
    every = np.arange(len(labels))
    if config.protocol in ("holdout", "published"):
        return every[:0], every
    validates = np.zeros(len(labels), dtype=bool)
    check_every_class(labels, class_names, config.protocol, "test", needed=2 if config.protocol == "m2m" else 1)
    for k in range(len(class_names)):
        rows = np.flatnonzero(labels == k)
        validates[rows[: _share(config.validation_fraction, len(rows))]] = True
    if config.protocol == "test-select":
        return every, every
    return np.flatnonzero(validates), np.flatnonzero(~validates)


def check_every_class(
    labels: Ints, class_names: tuple[str, ...], protocol: str, split: str, *, needed: int = 1
) -> None:
    """Refuse to validate on a split that has too few images of a class.

    Raises:
        BadInput: a class has fewer than ``needed`` images.
    """
    for k, name in enumerate(class_names):
        found = int((labels == k).sum())
        if found < needed:
            raise BadInput(
                f"protocol {protocol} validates on {split} images and needs {needed} of every class; "
                f"class {k} ('{name}') has {found}"
            )


def _held_out_per_class(members: list[Ints], class_names: tuple[str, ...], config: DataConfig) -> int:
    if config.protocol != "holdout" or not members:
        return 0
    sizes = [len(rows) for rows in members]
    k = int(np.argmin(sizes))
    if sizes[k] == 1:
        raise BadInput(
            f"protocol holdout validates on training images and needs 2 of every class; class {k} "
            f"('{class_names[k]}') has 1"
        )
    # An empty class is left to profile_counts, which names it.
    return _share(config.validation_fraction, sizes[k]) if sizes[k] else 0


def _share(fraction: float, size: int) -> int:
    # At least one image validates and at least one is left. 1e-9: 0.3 * 10 must be 3.
    return min(max(1, int(fraction * size + 1e-9)), size - 1)


def _draws(seed: int, purpose: int, k: int, n: int) -> npt.NDArray[np.uint64]:
    # Raw bits, not Generator methods: numpy promises that only these stay the same in every version.
    return np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(purpose, k))).random_raw(n)


def _refuse_empty(noisy: Ints, class_names: tuple[str, ...], config: DataConfig) -> None:
    counts = np.bincount(noisy, minlength=len(class_names))
    if not counts.all():
        k = int(np.argmin(counts))
        raise BadInput(
            f"label_noise {config.label_noise:g} leaves class {k} ('{class_names[k]}') without a training "
            f"image (profile {config.profile.kind}, ratio {config.profile.ratio:g}); take less noise, a "
            "smaller ratio or another subset_seed"
        )
