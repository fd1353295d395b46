"""Splits of a data set: training, validation and test images with labels, class counts and a fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trainables.data.sources.source import OtherTest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images with labels, on the CPU.

    Attributes:
        images: uint8 (N, C, H, W), or float32 (N, D, 1, 1) for vectors of D features; with ``rows``, all M images
            (M, C, H, W) of a memory-mapped file.
        labels: int64 (N,).
        rows: int64 (N,), rows of ``images`` that belong to the split, if the images are too large to copy; None if
            ``images`` holds the split alone.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor | None = None

    def take(self, indices: Tensor) -> Split:
        """Copy some images, int64 (n,) indices of the split, into a split of their own, also from a file."""
        rows = indices if self.rows is None else self.rows[indices]
        return Split(self.images[rows], self.labels[indices])


@dataclass(frozen=True, eq=False)
class StudyData:
    """Data of one training.

    Attributes:
        train: training split after profile and label noise.
        validation: validation split; see docs/protocol.md.
        class_counts: int64 (K,), counts of the training labels including label noise, as a method may know them.
        class_names: (K,), in label order.
        mean: mean per channel of the training images, of pixels in [0, 1] or of unscaled features.
        std: population standard deviation per channel, likewise; at least 1/255 for pixels, 1 for a constant feature.
        fingerprint: sha256 over the content of the source, the selected rows and the final labels of training and
            validation; equal on all machines. Of a data set without a test split, the draw of its test images, too.
        read_test: reads the test split; called by `test`.
        other_test: where the test images come from; None if from a test split of its own.
    """

    train: Split
    validation: Split
    class_counts: Tensor
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    read_test: Callable[[], Split] = field(repr=False)
    other_test: OtherTest | None = None

    def test(self) -> Split:
        """Read the reported test images; under ``holdout`` no test image is read before this call."""
        return self.read_test()


@dataclass(frozen=True)
class DataSummary:
    """Summary of a data set under a protocol, available without loading images.

    Attributes:
        class_counts: training images per class, (K,).
        class_names: (K,), in label order.
        validation_size: number of validation images.
        image_shape: (C, H, W); (D, 1, 1) for vectors of D features.
        fingerprint: equals that of `StudyData`.
        other_test: as in `StudyData`.
    """

    class_counts: tuple[int, ...]
    class_names: tuple[str, ...]
    validation_size: int
    image_shape: tuple[int, int, int]
    fingerprint: str
    other_test: OtherTest | None = None
