"""Decoding of image files into one uint8 array, by a pool of threads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.core.errors import BadInput
from trainables.core.files import read_regular
from trainables.data.sources.image_cache import cache_dir, not_writable

Pixels = npt.NDArray[np.uint8]
Encoded = bytes | Path
"""An image file: its content, or its path, read by the decoding thread."""

_GREY_MODES = {"1", "L", "LA"}
_COLOUR_MODES = {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_ROWS_PER_TASK = 64
_MOST_BYTES = 2**28
"""Bytes of one encoded image."""
_MOST_PIXELS = 2**26
"""Pixels of one image, decoded or scaled: 67 million, more than a photograph has."""
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_BIT_DEPTH = 24
"""Place of the byte that gives the bits per channel."""
_LARGE = 2**30  # bytes; Places-LT at 224 pixels has 9 GiB, ImageNet-LT 17


def decode_image(encoded: bytes, image_size: int | None = None) -> Pixels:
    """Decode one PNG or JPEG file.

    Args:
        encoded: content of the file.
        image_size: as in `fit`; None keeps the size.

    Returns:
        uint8 (H, W) for a grey image, (H, W, 3) for any other; transparency is dropped.

    Raises:
        ValueError: if the image has more than 8 bits per channel or is too large. Pillow's own errors are not
            converted.
    """
    from PIL import Image

    # Pillow reduces 16-bit colours without a word
    if encoded.startswith(_PNG) and len(encoded) > _PNG_BIT_DEPTH and encoded[_PNG_BIT_DEPTH] > 8:
        raise ValueError(f"images must have 8 bits per channel, got {encoded[_PNG_BIT_DEPTH]}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
        opened = Image.open(BytesIO(encoded), formats=("PNG", "JPEG"))
    with opened as image:
        _refuse_large(*image.size)
        if image.mode not in _GREY_MODES | _COLOUR_MODES:
            raise ValueError(f"images must have 8 bits per channel, got Pillow mode {image.mode}")
        wanted = "L" if image.mode in _GREY_MODES else "RGB"
        converted = image if image.mode == wanted else image.convert(wanted)
        return np.asarray(converted if image_size is None else fit(converted, image_size))


def fit(image: Any, image_size: int) -> Any:
    """Scale the shorter side of a Pillow image to ``image_size`` and crop the centre square.

    The aspect ratio is kept. Pillow's bilinear filter is antialiased. Sizes and corner are rounded as in torchvision's
    ``Resize(image_size)`` and ``CenterCrop(image_size)``.

    Args:
        image: Pillow image of mode L or RGB.
        image_size: height and width of the result in pixels, at least 1.

    Raises:
        ValueError: if the scaled image would be too large, as a narrow strip becomes.
    """
    from PIL import Image

    width, height = image.size
    shorter = min(width, height)
    scaled_width, scaled_height = image_size * width // shorter, image_size * height // shorter
    _refuse_large(scaled_width, scaled_height, f" after scaling its shorter side from {shorter} to {image_size}")
    if (scaled_width, scaled_height) != (width, height):
        image = image.resize((scaled_width, scaled_height), Image.Resampling.BILINEAR)
    left, top = round((scaled_width - image_size) / 2), round((scaled_height - image_size) / 2)
    return image.crop((left, top, left + image_size, top + image_size))


def _refuse_large(width: int, height: int, when: str = "") -> None:
    if width * height > _MOST_PIXELS:
        raise ValueError(f"at most {_MOST_PIXELS:,} pixels are decoded, got {height} x {width} (height x width){when}")


def decode_images(
    batches: Iterable[Sequence[Encoded]], rows: int, where: Callable[[int], str], image_size: int | None = None
) -> Pixels:
    """Decode the images of a split, which must all have one size.

    If any image is in colour, the split is in colour: grey images get three equal channels.

    Args:
        batches: image files in row order, a few thousand per batch.
        rows: total number of images, at least 1.
        where: row -> origin of its image, for messages.
        image_size: as in `fit`; None requires images of equal size.

    Returns:
        uint8 (rows, C, H, W).

    Raises:
        BadInput: if an image cannot be read or decoded, or differs in size from the first; names its origin.
    """
    images: Pixels | None = None
    done = 0
    with ThreadPoolExecutor(_usable_cores()) as pool:
        for batch in batches:
            parts = [batch[start : start + _ROWS_PER_TASK] for start in range(0, len(batch), _ROWS_PER_TASK)]
            firsts = range(done, done + len(batch), _ROWS_PER_TASK)
            for decoded in pool.map(partial(_decode_part, where=where, image_size=image_size), parts, firsts):
                images = _store(decoded, images, done, rows, where)
                done += len(decoded)
    assert images is not None and done == rows, (done, rows)
    return images


def _decode_part(
    part: Sequence[Encoded], first: int, where: Callable[[int], str], image_size: int | None
) -> list[Pixels]:
    decoded = []
    for row, file in enumerate(part, start=first):
        encoded = _content(file, where, row) if isinstance(file, Path) else file
        if len(encoded) > _MOST_BYTES:
            raise BadInput(f"{where(row)}: an image may have {_MOST_BYTES:,} bytes, got {len(encoded):,} or more")
        try:
            decoded.append(decode_image(encoded, image_size))
        except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error and more
            reason = str(error).split(" <")[0]  # leaves out the memory address of the buffer
            raise BadInput(
                f"{where(row)}: expected a whole PNG or JPEG image, got {len(encoded)} bytes that do not decode "
                f"({reason})"
            ) from error
    return decoded


def _content(path: Path, where: Callable[[int], str], row: int) -> bytes:
    try:
        return read_regular(path, _MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{where(row)}: the image cannot be read: {error.strerror or error}") from error


def _store(decoded: list[Pixels], images: Pixels | None, done: int, rows: int, where: Callable[[int], str]) -> Pixels:
    height, width = decoded[0].shape[:2] if images is None else images.shape[2:]
    channels = 1 if images is None else images.shape[1]
    for row, image in enumerate(decoded, start=done):
        if image.shape[:2] != (height, width):
            raise BadInput(
                f"{where(row)}: expected an image of {height} x {width} pixels (height x width) like the ones "
                f"before, got {image.shape[0]} x {image.shape[1]}; `image_size` in the data's settings scales and "
                "crops all images to one size"
            )
        channels = max(channels, 3 if image.ndim == 3 else 1)
    if images is None:
        images = _room((rows, channels, height, width))
    elif channels > images.shape[1]:
        grey, images = images, _room((rows, channels, height, width))
        images[:done] = grey[:done]
    for row, image in enumerate(decoded, start=done):
        images[row] = image.transpose(2, 0, 1) if image.ndim == 3 else image
    return images


def _room(shape: tuple[int, ...]) -> Pixels:
    """Allocate an array; a large one is a memory-mapped file in the cache folder, so that it can exceed memory."""
    size = int(np.prod(shape))
    if size < _LARGE:
        return np.empty(shape, np.uint8)
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:  # unnamed: removed with the array or the process
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)  # reports a full disk here instead of by a signal later
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as error:
        raise not_writable(folder, error) from error


def _usable_cores() -> int:
    # The number of cores of the machine would oversubscribe a container with fewer.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)
