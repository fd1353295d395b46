"""Small data sets in the on-disk forms of the papers' data sets, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HAIR = ("Black_Hair", "Blond_Hair", "Bald", "Brown_Hair", "Gray_Hair")
ATTRIBUTES = ("5_o_Clock_Shadow", "Bald", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Young")


def write_image(path: Path, value: int, size: tuple[int, int] = (12, 12)) -> Path:
    """Write an image of one colour, (height, width), in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
    return path


def write_class_folders(folder: Path, splits: Iterable[str] = ("train", "test"), images: int = 8) -> Path:
    """Write <split>/<class>/<image>; class k has colours near 80 k."""
    for split in splits:
        for k, name in enumerate(("cat", "dog", "eel")):
            for i in range(images):
                suffix = ("jpg", "png", "JPEG")[i % 3]
                write_image(folder / split / name / f"{i}.{suffix}", 80 * k + i)
    return folder


def write_tiny_imagenet(folder: Path) -> Path:
    """Write Tiny ImageNet's layout: nested training images, an annotated val, a test without labels."""
    annotations = []
    for k, name in enumerate(("n01", "n02", "n03")):
        for i in range(8):
            write_image(folder / "train" / name / "images" / f"{name}_{i}.JPEG", 80 * k + i)
        (folder / "train" / name / f"{name}_boxes.txt").write_text("n01_0.JPEG\t0\t0\t5\t5\n")
    for i, k in enumerate([2, 0, 1, 1, 0, 2]):
        write_image(folder / "val" / "images" / f"val_{i}.JPEG", 80 * k + i)
        annotations.append(f"val_{i}.JPEG\tn0{k + 1}\t0\t32\t44\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(annotations))
    write_image(folder / "test" / "images" / "test_0.JPEG", 0)
    (folder / "wnids.txt").write_text("n03\nn01\nn02\n")
    return folder


def write_lists(folder: Path, prefix: str = "", splits: Sequence[str] = ("train", "val", "test")) -> Path:
    """Write NAME_<split>.txt and the images below <split>/ that it names; three classes of 8, 4 and 4 images."""
    for split in splits:
        lines = []
        for i in range(24 if split == "train" else 12):
            path = f"{split}/n{i % 3}/a file {i}.JPEG"
            write_image(folder / path, 80 * (i % 3) + i // 3 + {"train": 0, "val": 10, "test": 20}[split])
            lines.append(f"{path} {i % 3}\n")
        (folder / f"{prefix}{split}.txt").write_text("".join(lines))
    return folder


def write_celeba(folder: Path, images: int = 126) -> Path:
    """Write CelebA's tables and faces of 24 x 18 pixels.

    Face i has colour of hair i % 6 of `HAIR`, the sixth having two colours; a third each trains, validates, tests.
    """
    rows, partition = [], []
    for i in range(images):
        name = f"{i + 1:06d}.jpg"
        hair = {HAIR[i % 6]} if i % 6 < 5 else {"Black_Hair", "Brown_Hair"}
        values = ["1" if attribute in hair else "-1" for attribute in ATTRIBUTES]
        rows.append(f"{name}  {'  '.join(values)}\n".replace(" -1", "-1"))
        partition.append(f"{name} {i * 3 // images}\n")
        write_image(folder / "img_align_celeba" / name, 40 * (i % 6), (24, 18))
    (folder / "list_attr_celeba.txt").write_text(f"{images}\n{' '.join(ATTRIBUTES)} \n{''.join(rows)}")
    (folder / "list_eval_partition.txt").write_text("".join(partition))
    return folder


def write_vectors(path: Path, vectors: object, labels: Sequence[int], kind: pa.DataType | None = None) -> Path:
    """Write one Parquet file with the columns `features` and `label`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [None if vector is None else list(vector) for vector in vectors]  # type: ignore[attr-defined]
    pq.write_table(pa.table({"features": pa.array(rows, kind or pa.list_(pa.float32())), "label": labels}), path)
    return path


def write_vector_folder(folder: Path, length: int = 5, classes: int = 3, rows: int = 12) -> Path:
    """Write train.parquet and test.parquet with vectors around 10 k, the last number of all being 7."""
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        labels = random.permutation(np.repeat(np.arange(classes), rows))
        vectors = (random.normal(size=(len(labels), length)) + 10 * labels[:, None]).astype(np.float32)
        vectors[:, -1] = 7
        write_vectors(folder / f"{split}.parquet", vectors, labels.tolist(), pa.list_(pa.float32(), length))
    return folder
