"""Selection of training, validation and test rows by the subset seed; uses numpy, not torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data.imbalance_profiles import profile_counts

Ints = npt.NDArray[np.int64]

# Identifiers of the random streams; a number is never reused for another purpose.
_SUBSET, _NOISE_PLACE, _NOISE_LABEL = 0, 1, 2


@dataclass(frozen=True)
class TrainSelection:
    """Rows of the training split.

    Attributes:
        rows: training rows in file order, int64 (n,).
        labels: their labels after label noise, int64 (n,).
        held_out: validation rows under ``holdout``, in file order; empty under the other protocols.
    """

    rows: Ints
    labels: Ints
    held_out: Ints


def select_training(labels: Ints, class_names: tuple[str, ...], config: DataConfig) -> TrainSelection:
    """Sample the training rows and, under ``holdout``, the validation rows.

    ``holdout`` takes int(validation_fraction * smallest class size), at least 1, images from each class before the
    profile is applied, so the validation set is balanced. Each class is shuffled by ``subset_seed`` and class index
    only; the profile keeps the first images and ``holdout`` takes the last. The subset at a larger imbalance ratio is
    therefore contained in the subset at a smaller one, which makes ratios comparable.

    Args:
        labels: labels of the whole training split, (N,).
        class_names: (K,).
        config: profile, protocol, validation_fraction, label_noise and subset_seed are used.

    Raises:
        BadInput: if a class would have no training image.
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
    """Replace the labels of a share of the training rows by another class, sampled uniformly.

    round(share * n) labels change. Each row of the split has fixed random draws, so the labels changed at a lower noise
    level are also changed, to the same class, at a higher one.

    Args:
        labels: labels of the whole split, (N,).
        rows: training rows, (n,).
        classes: K, at least 2.
        share: share of labels to change, in [0, 1).
        seed: subset seed.

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
    """Split the test rows into validation rows and reported rows, both in file order.

    ``holdout`` and ``published``: no validation rows, all rows are reported. ``m2m``: the first
    int(validation_fraction * size), at least 1, rows of each class in file order are for validation, the others are
    reported. ``test-select``: all rows are used for both (optimistic, since selection sees the reported images).

    Raises:
        BadInput: if a class has fewer than two test images under ``m2m``, or none under ``test-select``.

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
    """Check that a validation split has enough images of each class.

    Raises:
        BadInput: if a class has fewer than ``needed`` images.
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
    # profile_counts reports an empty class by name
    return _share(config.validation_fraction, sizes[k]) if sizes[k] else 0


def _share(fraction: float, size: int) -> int:
    # At least one image on either side. 1e-9: 0.3 * 10 must be 3.
    return min(max(1, int(fraction * size + 1e-9)), size - 1)


def _draws(seed: int, purpose: int, k: int, n: int) -> npt.NDArray[np.uint64]:
    # Raw bits instead of Generator methods: numpy guarantees a stable stream across versions for these only.
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
