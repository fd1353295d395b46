"""Loading of a data set by its DataConfig (`load`), and its validation before a study starts (`prepare`)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from trainables.core.config import DataConfig
from trainables.core.errors import BadInput
from trainables.data.input_statistics import feature_statistics, pixel_statistics
from trainables.data.sources.image_cache import CachedImages, open_images
from trainables.data.sources.source import OtherTest, Source, SplitName, other_test_of
from trainables.data.sources.source_lookup import find_source
from trainables.data.splits import DataSummary, Split, StudyData
from trainables.data.subset_selection import TrainSelection, check_every_class, select_training, split_test

Ints = npt.NDArray[np.int64]


def load(config: DataConfig) -> StudyData:
    """Load the data of one training; fast once the images are cached.

    Args:
        config: data set, profile, protocol, label noise and subset seed.

    Returns:
        CPU tensors; the test split is opened only when `StudyData.test` is called.

    Raises:
        BadInput: as in `prepare`.
    """
    import torch

    source = find_source(config)
    chosen = _choose(source, config)
    budget = config.memory_budget_gb
    train = _split(chosen.train, chosen.selection.rows, chosen.selection.labels, budget)
    validating = chosen.validation
    statistics = pixel_statistics if train.images.dtype == torch.uint8 else feature_statistics
    mean, std = statistics(train.images.numpy(), None if train.rows is None else train.rows.numpy())
    return StudyData(
        train=train,
        validation=_split(validating, chosen.validation_rows, validating.labels[chosen.validation_rows], budget),
        class_counts=torch.from_numpy(chosen.class_counts),
        class_names=chosen.train.class_names,
        mean=mean,
        std=std,
        fingerprint=chosen.fingerprint,
        read_test=partial(_read_test, source, config),
        other_test=chosen.other_test,
    )


def whole_test(config: DataConfig) -> tuple[Split, tuple[str, ...]]:
    """Load all test images, regardless of the protocol, and the class names in label order.

    Raises:
        BadInput: if the images do not exist or cannot be decoded.
    """
    return whole_source(find_source(config), config.memory_budget_gb)


def whole_source(source: Source, memory_budget_gb: float) -> tuple[Split, tuple[str, ...]]:
    """Load all test images of a source, and the class names in label order.

    Raises:
        BadInput: if the images do not exist or cannot be decoded.
    """
    test = open_images(source, "test")
    labels = test.labels
    return _split(test, np.arange(len(labels)), labels, memory_budget_gb), test.class_names


def prepare(config: DataConfig) -> DataSummary:
    """Validate a data set before a study starts and decode all its images into the cache.

    All splits must be complete; every image must decode and have the same size; labels must be in range; no class may
    be empty after holdout, profile and label noise; cached images must match their checksums. torch is imported only if
    torchvision has to download or read the images.

    Raises:
        BadInput: with file, row or class, the expected value and, if there is one, a remedy.
    """
    source = find_source(config)
    train = open_images(source, "train", verify=True)
    others: list[SplitName] = ["test", "validation"] if config.protocol == "published" else ["test"]
    if config.folds is not None:
        others = []  # cross-validation reports on the folds and reads no test image
    for split in others:
        _check_validation(source, split)
        _check_alike(config, train, split, open_images(source, split, verify=True))
    return summarize(config)


def _check_alike(config: DataConfig, train: CachedImages, split: SplitName, other: CachedImages) -> None:
    if train.images.shape[1:] != other.images.shape[1:]:
        raise BadInput(
            f"the images of {config.dataset} differ in shape (channels, height, width; vectors are (length, 1, 1)): "
            f"train {train.images.shape[1:]}, {split} {other.images.shape[1:]}"
        )
    if train.images.dtype != other.images.dtype:
        raise BadInput(f"{config.dataset} has {_content(train)} in train and {_content(other)} in {split}")


def _content(split: CachedImages) -> str:
    return "images" if split.images.dtype == np.uint8 else "vectors"


def _check_validation(source: Source, split: SplitName) -> None:
    if split == "validation" and not source.has_validation:
        raise BadInput(
            f"protocol published needs a validation split beside train and test, and "
            f"{source.dataset} has none (docs/data.md); allowed here: holdout, m2m, test-select"
        )


def summarize(config: DataConfig) -> DataSummary:
    """Summarise the result of `load` without reading images; cached images are not verified.

    Raises:
        BadInput: as in `prepare`, for errors that are detectable without reading images.
    """
    chosen = _choose(find_source(config), config)
    channels, height, width = chosen.train.images.shape[1:]
    return DataSummary(
        class_counts=tuple(chosen.class_counts.tolist()),
        class_names=chosen.train.class_names,
        validation_size=len(chosen.validation_rows),
        image_shape=(channels, height, width),
        fingerprint=chosen.fingerprint,
        other_test=chosen.other_test,
    )


@dataclass(frozen=True)
class _Chosen:
    train: CachedImages
    selection: TrainSelection
    validation: CachedImages
    validation_rows: Ints
    other_test: OtherTest | None

    @property
    def class_counts(self) -> Ints:
        return np.bincount(self.selection.labels, minlength=len(self.train.class_names)).astype(np.int64)

    @property
    def fingerprint(self) -> str:
        contents = [self.train.content, self.validation.content, len(self.train.class_names)]
        if self.other_test is not None:
            contents.append(self.other_test.identity)
        digest = hashlib.sha256(json.dumps(contents).encode())
        validation_labels = self.validation.labels[self.validation_rows]
        for part in (self.selection.rows, self.selection.labels, self.validation_rows, validation_labels):
            digest.update(f"{len(part)} ".encode() + part.astype("<i8").tobytes())
        return digest.hexdigest()


def _choose(source: Source, config: DataConfig) -> _Chosen:
    train, other = open_images(source, "train"), other_test_of(source)
    selection = select_training(train.labels, train.class_names, config)
    if config.protocol == "holdout":
        return _Chosen(train, selection, train, selection.held_out, other)
    if config.protocol == "published":
        _check_validation(source, "validation")
        validation = open_images(source, "validation")
        labels = validation.labels
        check_every_class(labels, train.class_names, config.protocol, "validation")
        return _Chosen(train, selection, validation, np.arange(len(labels)), other)
    test = open_images(source, "test")
    validation_rows, _ = split_test(test.labels, test.class_names, config)
    return _Chosen(train, selection, test, validation_rows, other)


def _read_test(source: Source, config: DataConfig) -> Split:
    test = open_images(source, "test")
    labels = test.labels
    _, rows = split_test(labels, test.class_names, config)
    return _split(test, rows, labels[rows], config.memory_budget_gb)


def _split(cached: CachedImages, rows: Ints, labels: Ints, budget_gb: float) -> Split:
    import torch

    if len(rows) * cached.images[:1].nbytes > budget_gb * 1e9:
        return Split(torch.from_numpy(cached.images), torch.from_numpy(labels.copy()), torch.from_numpy(rows))
    # A whole split needs no copy: torch then shares the file's pages with other processes.
    whole = len(rows) == len(cached.images)
    images = cached.images if whole else cached.images.take(rows, axis=0)
    return Split(torch.from_numpy(images), torch.from_numpy(labels.copy()))
