"""Small encoded images and Parquet files in the format of the data folders, for tests."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def encode(image: np.ndarray, kind: str = "PNG") -> bytes:
    """Encode one uint8 image, (H, W) or (H, W, 3)."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def write_split(
    path: Path, images: Sequence[bytes | None], labels: Sequence[int | None], names: str | None = None
) -> Path:
    """Write one Parquet file in the format of the data folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"image": pa.array(images, pa.binary()), "label": pa.array(labels, pa.int16())})
    pq.write_table(table.replace_schema_metadata({"classes": names} if names else None), path)
    return path


def write_folder(
    folder: Path,
    train_sizes: Sequence[int],
    test_sizes: Sequence[int],
    shape: tuple[int, ...] = (6, 5),
    names: str | None = None,
) -> Path:
    """Write train.parquet and test.parquet with random images, labels in a mixed order."""
    random = np.random.default_rng(0)
    for split, sizes in (("train", train_sizes), ("test", test_sizes)):
        labels = random.permutation(np.repeat(np.arange(len(sizes)), sizes)).tolist()
        images = [encode(random.integers(0, 256, shape, dtype=np.uint8)) for _ in labels]
        write_split(folder / f"{split}.parquet", images, labels, names)
    return folder
