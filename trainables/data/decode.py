"""Encoded image files to one uint8 array, decoded by a pool of threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import numpy.typing as npt

from trainables.errors import BadInput

Pixels = npt.NDArray[np.uint8]

_GREY_MODES = {"1", "L", "LA"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_ROWS_PER_TASK = 64


def decode_image(encoded: bytes) -> Pixels:
    """Decode one PNG or JPEG file.

    Args:
        encoded: the content of the file.

    Returns:
        uint8 (H, W) for a grey image, (H, W, 3) for any other; transparency is dropped.

    Raises:
        ValueError: it has more than 8 bits a channel. Pillow's own errors pass through: it has many kinds.
    """
    from PIL import Image

    with Image.open(BytesIO(encoded), formats=("PNG", "JPEG")) as image:
        if image.mode not in _GREY_MODES | _COLOUR_MODES:
            raise ValueError(f"images have 8 bits a channel, got Pillow mode {image.mode}")
        wanted = "L" if image.mode in _GREY_MODES else "RGB"
        return np.asarray(image if image.mode == wanted else image.convert(wanted))


def decode_images(batches: Iterable[Sequence[bytes]], rows: int, file: str) -> Pixels:
    """Decode the images of a file, all of one size.

    One image in colour makes the whole set colour: the grey ones get three equal channels.

    Args:
        batches: encoded images, in row order, a few thousand at a time.
        rows: how many images there are in all, at least 1.
        file: where they come from, for messages.

    Returns:
        uint8 (rows, C, H, W).

    Raises:
        BadInput: an image cannot be decoded or differs in size from the first; names file and row.
    """
    images: Pixels | None = None
    done = 0
    with ThreadPoolExecutor(_usable_cores()) as pool:
        for batch in batches:
            parts = [batch[start : start + _ROWS_PER_TASK] for start in range(0, len(batch), _ROWS_PER_TASK)]
            firsts = range(done, done + len(batch), _ROWS_PER_TASK)
            for decoded in pool.map(_decode_part, parts, firsts, [file] * len(parts)):
                images = _store(decoded, images, done, rows, file)
                done += len(decoded)
    assert images is not None and done == rows, (done, rows)
    return images


def _decode_part(part: Sequence[bytes], first: int, file: str) -> list[Pixels]:
    decoded = []
    for row, encoded in enumerate(part, start=first):
        try:
            decoded.append(decode_image(encoded))
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error and more
            reason = str(error).split(" <")[0]  # leaves out the memory address of the buffer
            raise BadInput(
                f"{file}, row {row} (counted from 0): expected a whole PNG or JPEG image in `image`, got "
                f"{len(encoded)} bytes that do not decode ({reason})"
            ) from error
    return decoded


def _store(decoded: list[Pixels], images: Pixels | None, done: int, rows: int, file: str) -> Pixels:
    height, width = decoded[0].shape[:2] if images is None else images.shape[2:]
    channels = 1 if images is None else images.shape[1]
    for row, image in enumerate(decoded, start=done):
        if image.shape[:2] != (height, width):
            raise BadInput(
                f"{file}, row {row} (counted from 0): expected an image of {height} x {width} pixels (height "
                f"x width) like the ones before, got {image.shape[0]} x {image.shape[1]}"
            )
        channels = max(channels, 3 if image.ndim == 3 else 1)
    if images is None:
        images = np.empty((rows, channels, height, width), np.uint8)
    elif channels > images.shape[1]:
        images = np.repeat(images, channels, axis=1)
    for row, image in enumerate(decoded, start=done):
        images[row] = image.transpose(2, 0, 1) if image.ndim == 3 else image
    return images


def _usable_cores() -> int:
    # The machine's count would oversubscribe a container that was given fewer.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)
