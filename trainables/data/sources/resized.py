"""Scaling of a decoded data set to another image size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from trainables.data.sources.image_decoding import fit
from trainables.data.sources.source import LabelledImages, Source, SplitName


@dataclass(frozen=True)
class Resized:
    """Images of another source, each scaled and cropped by `fit`."""

    source: Source
    image_size: int

    @property
    def dataset(self) -> str:
        """Return the name of the source."""
        return self.source.dataset

    @property
    def has_validation(self) -> bool:
        """Return the value of the source."""
        return self.source.has_validation

    def key(self, split: SplitName) -> str:
        """Hash the source's key and the size."""
        return hashlib.sha256(f"{self.source.key(split)} {self.image_size}".encode()).hexdigest()

    def read(self, split: SplitName) -> LabelledImages:
        """Read a split of the source and scale its images."""
        from PIL import Image

        read = self.source.read(split)
        rows, channels = read.images.shape[:2]
        scaled = np.empty((rows, channels, self.image_size, self.image_size), np.uint8)
        for row, image in enumerate(read.images):
            pixels = image[0] if channels == 1 else image.transpose(1, 2, 0)
            fitted = np.asarray(fit(Image.fromarray(np.ascontiguousarray(pixels)), self.image_size))
            scaled[row] = fitted if channels == 1 else fitted.transpose(2, 0, 1)
        return LabelledImages(scaled, read.labels, read.class_names)
