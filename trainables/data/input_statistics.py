"""Mean and standard deviation of pixels or features, computed without a floating-point copy of the images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_STD_FLOOR = 1 / 255  # one grey level, so that constant images do not divide by zero
_SMALLEST_STD = 1e-30  # its inverse is finite in float32


def pixel_statistics(
    images: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and standard deviation per channel of pixels scaled to [0, 1].

    Integer histograms make the result independent of order, machine and number of threads.

    Args:
        images: (N, C, H, W), N at least 1.
        rows: int64 (n,), the images to use; None means all.

    Returns:
        Means (C,) and population standard deviations (C,), the latter at least 1/255.

    >>> pixel_statistics(np.array([[[[0, 255]]]], dtype=np.uint8))
    ((0.5,), (0.5,))
    """
    histogram = np.zeros((images.shape[1], 256), np.int64)
    for start in range(0, len(images if rows is None else rows), 1024):  # bincount converts to int64
        part = slice(start, start + 1024)
        some = images[part] if rows is None else images[rows[part]]
        for channel, counts in enumerate(histogram):
            counts += np.bincount(some[:, channel].ravel(), minlength=256)
    level = np.arange(256) / 255
    share = histogram / histogram.sum(axis=1, keepdims=True)
    mean = share @ level
    variance = (share * (level - mean[:, None]) ** 2).sum(axis=1)
    return tuple(mean.tolist()), tuple(np.maximum(np.sqrt(variance), _STD_FLOOR).tolist())


def feature_statistics(
    vectors: npt.NDArray[np.float32], rows: npt.NDArray[np.int64] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and standard deviation of every feature, in float64.

    Args:
        vectors: (N, D, 1, 1), N at least 1, finite.
        rows: int64 (n,), the vectors to use; None means all.

    Returns:
        Means (D,) and population standard deviations (D,). A constant feature has deviation 1, so it normalises to 0.

    >>> feature_statistics(np.array([[0.5, 3], [1.5, 3]], dtype=np.float32)[:, :, None, None])
    ((1.0, 3.0), (0.5, 1.0))
    """
    chosen = vectors[:, :, 0, 0] if rows is None else vectors[rows, :, 0, 0]
    mean = chosen.mean(axis=0, dtype=np.float64)
    std = np.zeros_like(mean)
    for start in range(0, len(chosen), 1024):  # in parts: float64 takes twice the memory
        std += ((chosen[start : start + 1024] - mean) ** 2).sum(axis=0)
    std = np.sqrt(std / len(chosen))
    constant = (chosen.min(axis=0) == chosen.max(axis=0)) | (std < _SMALLEST_STD)
    return tuple(mean.tolist()), tuple(np.where(constant, 1.0, std).tolist())
