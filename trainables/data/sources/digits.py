"""The digits that come with scikit-learn: 1,797 grey images of 8 x 8 pixels, no download."""

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
    """scikit-learn's ``load_digits``, cut into a training and a test split.

    The test split is every fifth image of each class in the order of the file: 20 %, the same on every
    machine, and spread evenly over the writers, who follow one another in the file.
    """

    dataset: str = "digits"
    has_validation: bool = False

    def key(self, split: SplitName) -> str:
        """Hash the version of scikit-learn, which the images come with, without importing it."""
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
