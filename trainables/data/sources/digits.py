"""scikit-learn's digits: 1,797 grey images of 8 x 8 pixels, without a download."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from trainables.data.catalog import DATASETS
from trainables.data.sources.source import LabelledImages, SplitName

_TEST_EVERY = 5


@dataclass(frozen=True)
class Digits:
    """scikit-learn's ``load_digits``, divided into a training and a test split.

    The test split is every fifth image of each class in file order: 20 % of the images, equal on all machines. Writers
    are consecutive in the file, so every writer is in both splits.
    """

    dataset: str = "digits"
    has_validation: bool = False

    def key(self, split: SplitName) -> str:
        """Hash the version of scikit-learn, which contains the images, without importing it."""
        return hashlib.sha256(f"digits {split} {version('scikit-learn')}".encode()).hexdigest()

    def read(self, split: SplitName) -> LabelledImages:
        """Scale the values 0..16 to 0..255 and take the split's rows."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        labels = bunch.target.astype(np.int64)
        images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
        place = np.empty_like(labels)
        for k in range(10):
            rows = np.flatnonzero(labels == k)
            place[rows] = np.arange(len(rows))
        chosen = (place % _TEST_EVERY == _TEST_EVERY - 1) == (split == "test")
        return LabelledImages(images[chosen], labels[chosen], DATASETS["digits"].class_names)
