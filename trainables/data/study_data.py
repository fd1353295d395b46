"""What a training sees of a data set, as plain values: tensors, counts, names and a fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images with labels, on the CPU.

    Attributes:
        images: uint8 (N, C, H, W), or float32 (N, D, 1, 1) for vectors of D features; with ``rows``, all
            (M, C, H, W) of a memory-mapped file.
        labels: int64 (N,).
        rows: int64 (N,), which of ``images`` the split consists of, where these are too large to be copied;
            None: ``images`` are the split's own.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor | None = None


@dataclass(frozen=True, eq=False)
class StudyData:
    """What one training sees of a data set.

    Attributes:
        train: after profile and label noise.
        validation: see docs/protocol.md.
        class_counts: int64 (K,), of the training labels as they are, noise included: what a method may know.
        class_names: (K,), in label order.
        mean: per channel, of pixels in [0, 1] or of features as they are, from the training images.
        std: likewise, the population's; for pixels at least 1/255, for a constant feature 1.
        fingerprint: sha256 over the content of the source, the chosen rows and the final labels of training
            and validation; equal on every machine.
        read_test: what `test` calls.
    """

    train: Split
    validation: Split
    class_counts: Tensor
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    read_test: Callable[[], Split] = field(repr=False)

    def test(self) -> Split:
        """Read the images that results are reported on; under ``holdout`` nothing of them was read before."""
        return self.read_test()


@dataclass(frozen=True)
class DataSummary:
    """What can be said of a data set and protocol without loading images.

    Attributes:
        class_counts: training images per class, (K,).
        class_names: (K,).
        validation_size: images that validate.
        image_shape: (C, H, W); (D, 1, 1) for vectors of D features.
        fingerprint: equals that of `StudyData`.
    """

    class_counts: tuple[int, ...]
    class_names: tuple[str, ...]
    validation_size: int
    image_shape: tuple[int, int, int]
    fingerprint: str
