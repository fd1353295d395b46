"""Small data sets of real PNG files for trainings that digits are too small or too grey for."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


def _png(rng: np.random.Generator, size: int, brightness: int) -> bytes:
    pixels = rng.integers(brightness, brightness + 100, (size, size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def write_images() -> Callable[..., Path]:
    """Write train.parquet and test.parquet with colour images, a little brighter from class to class."""

    def write(folder: Path, *, classes: int = 3, images: int = 12, size: int = 32, seed: int = 0) -> Path:
        folder.mkdir(parents=True)
        rng = np.random.default_rng(seed)
        for split in ("train", "test"):
            labels = [k for k in range(classes) for _ in range(images)]
            table = pa.table({"image": [_png(rng, size, 40 * k) for k in labels], "label": labels})
            pq.write_table(table, folder / f"{split}.parquet")
        return folder

    return write
