"""Images and labels in memory, written once as a folder of Parquet files named by their content."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from trainables.core.errors import BadInput, shown
from trainables.core.kernel_lock import KernelLock
from trainables.data.sources.parquet_folder import UNSPLIT
from trainables.data.sources.parquet_writing import Rows, png, write_split, written_whole
from trainables.data.sources.source import SplitName

Layout = Literal["NCHW", "NHWC"]
Pixels = npt.NDArray[np.uint8 | np.float32]

_VERSION = 1
"""Increase it when what is written changes."""
_ROWS_AT_A_TIME = 1024
_ALLOWED = (
    "allowed are images (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, uint8 or floats in [0, 1], and "
    "vectors (N, D) of floats"
)


def array_folder(
    place: Path,
    name: str,
    splits: Mapping[SplitName, tuple[Any, Any]],
    class_names: Sequence[str] | None,
    layout: Layout | None = None,
) -> Path:
    """Write splits to ``<place>/<name>-<digest of the content>/``, unless they are there.

    Args:
        place: folder of data sets; made if it is missing.
        name: of the data set.
        splits: split -> images and labels, as NumPy arrays, torch tensors or lists. Without ``test``, test images are
            drawn when the data set is used.
        class_names: in label order; None takes the numbers from 0 to the largest training label.
        layout: order of the axes of images with four; None finds it by the channels.

    Returns:
        The folder.

    Raises:
        BadInput: images or labels of another form, with what is allowed; or the place cannot be written.
    """
    if "test" not in splits and "validation" in splits:
        raise BadInput("validation images need test images beside them: give `test`, too")
    read: dict[SplitName, tuple[Pixels, npt.NDArray[np.int64]]] = {}
    for split, (images, labels) in splits.items():
        read[split] = _checked(f"{split} images", images, labels, layout)
    names = _names(class_names, read["train"][1])
    shape, kind = read["train"][0].shape[1:], read["train"][0].dtype
    for split, (images, labels) in read.items():
        if (images.shape[1:], images.dtype) != (shape, kind):
            raise BadInput(
                f"{split} images are {images.dtype} {images.shape[1:]}, those of train {kind} {shape} (after the "
                f"channels were moved to the front)"
            )
        if labels.min() < 0 or labels.max() >= len(names):
            outside = labels[(labels < 0) | (labels >= len(names))][0]
            raise BadInput(f"{split} labels must lie in 0..{len(names) - 1} ({len(names)} classes), got {outside}")
    folder = place / f"{name}-{_digest(read, names)}"
    file = {"train": "train.parquet" if "test" in read else UNSPLIT}
    files = {file.get(split, f"{split}.parquet"): pair for split, pair in read.items()}
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{place} cannot be written ({error.strerror or error})") from error
    with KernelLock(place / f".{folder.name}.lock"):
        if not all((folder / name).is_file() for name in files):
            written_whole(folder, partial(_write, files=files, names=names))
    return folder


def _write(target: Path, files: Mapping[str, tuple[Pixels, npt.NDArray[np.int64]]], names: Sequence[str]) -> None:
    for name, (images, labels) in files.items():
        write_split(target / name, _batches(images, labels), names)


def _batches(images: Pixels, labels: npt.NDArray[np.int64]) -> Iterator[Rows]:
    for start in range(0, len(labels), _ROWS_AT_A_TIME):
        part, own = images[start : start + _ROWS_AT_A_TIME], labels[start : start + _ROWS_AT_A_TIME].tolist()
        if part.ndim == 2:
            yield part.astype(np.float32), own
        else:
            yield (
                [png(image[0] if len(image) == 1 else image.transpose(1, 2, 0)) for image in part.astype(np.uint8)],
                own,
            )


def _digest(read: Mapping[SplitName, tuple[Pixels, npt.NDArray[np.int64]]], names: Sequence[str]) -> str:
    digest = hashlib.sha256(json.dumps([_VERSION, list(names)]).encode())
    for split, (images, labels) in sorted(read.items()):
        digest.update(f"{split} {images.dtype.str} {images.shape}".encode())
        digest.update(np.ascontiguousarray(images).data)
        digest.update(labels.astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def _checked(where: str, images: Any, labels: Any, layout: Layout | None) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Return uint8 (N, C, H, W) or float32 (N, D), and int64 (N,)."""
    found = _array(where, images)
    pixels = _vectors(where, found) if found.ndim == 2 else _pixels(where, found, layout)
    classes = _array(where.replace("images", "labels"), labels)
    if classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer) or len(classes) != len(pixels):
        raise BadInput(
            f"{where.replace('images', 'labels')} must be {len(pixels)} whole numbers from 0, of shape "
            f"({len(pixels)},), got {classes.dtype} of shape {classes.shape}"
        )
    return pixels, classes.astype(np.int64)


def _array(where: str, given: Any) -> npt.NDArray[Any]:
    try:
        # a tensor may need a gradient, or lie on a GPU
        found = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{where}: must be an array or a tensor, got {type(given).__name__} ({error})") from None
    if found.dtype == object or found.ndim == 0 or not len(found):
        raise BadInput(f"{where}: must be an array or a tensor of one row or more, got {_form(found)}")
    return found


def _form(found: npt.NDArray[Any]) -> str:
    return f"{found.dtype} of shape {found.shape}"


def _vectors(where: str, found: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if not np.issubdtype(found.dtype, np.floating):
        raise BadInput(f"{where}: vectors must be floats, got {_form(found)}; {_ALLOWED}")
    return found.astype(np.float32)


def _pixels(where: str, found: npt.NDArray[Any], layout: Layout | None) -> npt.NDArray[np.uint8]:
    if found.ndim == 3:
        ordered = found[:, None]
    elif found.ndim == 4:
        ordered = found.transpose(0, 3, 1, 2) if _layout(where, found, layout) == "NHWC" else found
    else:
        raise BadInput(f"{where}: got {_form(found)}; {_ALLOWED}")
    if ordered.shape[1] not in (1, 3):
        raise BadInput(f"{where}: got {_form(found)}, which has {ordered.shape[1]} channels; {_ALLOWED}")
    if ordered.dtype == np.uint8:
        return ordered
    if not np.issubdtype(ordered.dtype, np.floating):
        raise BadInput(f"{where}: got {_form(found)}; {_ALLOWED}. Values from 0 to 255 need .astype('uint8')")
    least, most = float(ordered.min()), float(ordered.max())
    if not (least >= 0 and most <= 1 + 1e-6):
        raise BadInput(
            f"{where}: floats must lie in [0, 1], got {_form(found)} from {least:g} to {most:g}. Give images as they "
            f"are before they are normalised: a training does that itself; values from 0 to 255 need .astype('uint8')"
        )
    scaled = ordered.astype(np.float64) * 255
    rounded = np.rint(scaled)
    if np.abs(scaled - rounded).max() > 0.01:
        warnings.warn(f"{where}: {found.dtype} in [0, 1] are kept with 8 bits, rounded to n/255", stacklevel=5)
    return rounded.clip(0, 255).astype(np.uint8)


def _layout(where: str, found: npt.NDArray[Any], layout: Layout | None) -> Layout:
    if layout is not None:
        if layout not in ("NCHW", "NHWC"):
            raise BadInput(f"`layout` must be NCHW or NHWC, got {shown(layout)}")
        return layout
    first, last = found.shape[1] in (1, 3), found.shape[3] in (1, 3)
    if first and last:
        raise BadInput(f"{where}: channels may be first or last in {_form(found)}; say layout='NCHW' or layout='NHWC'")
    return "NHWC" if last else "NCHW"


def _names(given: Sequence[str] | None, labels: npt.NDArray[np.int64]) -> list[str]:
    names = [str(k) for k in range(int(labels.max()) + 1)] if given is None else [str(name) for name in given]
    if len(names) < 2 or len(set(names)) < len(names):
        raise BadInput(f"`classes` must be two or more different names, in label order, got {shown(names)}")
    return names
