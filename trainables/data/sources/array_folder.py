"""Images and labels in memory, written once as a folder of Parquet files named by their content."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
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
_LARGEST_UNNAMED = 10_000
"""Largest label for which names are made up: a larger one is most often no label, and every name takes memory."""
_ALLOWED = (
    "allowed are images (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, uint8 or floats in [0, 1], and "
    "vectors (N, D) of floats"
)
_TENSORS = "allowed are dense tensors of uint8, float16, float32 and float64, and for labels of integers"


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
    given_names = None if class_names is None else _names(class_names)
    read: dict[SplitName, tuple[Pixels, npt.NDArray[np.int64]]] = {}
    for split, (images, labels) in splits.items():
        read[split] = _checked(split, images, labels, layout, None if given_names is None else len(given_names))
    names = given_names or _names([str(k) for k in range(int(read["train"][1].max()) + 1)])
    shape, kind = read["train"][0].shape[1:], read["train"][0].dtype
    for split, (images, labels) in read.items():
        if (images.shape[1:], images.dtype) != (shape, kind):
            raise BadInput(
                f"{split} images are {images.dtype} {images.shape[1:]}, those of train {kind} {shape} (after the "
                f"channels were moved to the front)"
            )
        _check_range(f"{split} labels", labels, len(names))
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


def _checked(
    split: SplitName, images: Any, labels: Any, layout: Layout | None, classes: int | None
) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Return uint8 (N, C, H, W) or float32 (N, D), and int64 (N,)."""
    where = f"{split} images"
    found = _array(where, images)
    pixels = _vectors(where, found) if found.ndim == 2 else _pixels(where, found, layout)
    return pixels, _labels(f"{split} labels", labels, len(pixels), classes)


def _labels(where: str, given: Any, rows: int, classes: int | None) -> npt.NDArray[np.int64]:
    """Return int64 (rows,); None classes leaves the largest label open, within reason."""
    found = _array(where, given)
    if found.ndim != 1 or not np.issubdtype(found.dtype, np.integer) or len(found) != rows:
        span = f" from {found.min()} to {found.max()}" if found.dtype.kind in "iuf" else ""
        raise BadInput(f"{where} must be {rows} whole numbers from 0, of shape ({rows},), got {_form(found)}{span}")
    _check_range(where, found, classes)
    return found.astype(np.int64)


def _check_range(where: str, labels: npt.NDArray[Any], classes: int | None) -> None:
    least, most = int(labels.min()), int(labels.max())
    if classes is not None and not 0 <= least <= most < classes:
        raise BadInput(f"{where} must lie in 0..{classes - 1} ({classes} classes), got labels from {least} to {most}")
    if not 0 <= least <= most <= _LARGEST_UNNAMED and classes is None:
        raise BadInput(
            f"{where} must be 0..K-1 for K classes, got labels from {least} to {most}; labels above "
            f"{_LARGEST_UNNAMED:,} need `classes`"
        )


def _array(where: str, given: Any) -> npt.NDArray[Any]:
    try:
        found = _as_numpy(given)
    except (TypeError, ValueError, RuntimeError) as error:
        if hasattr(given, "detach"):
            raise BadInput(
                f"{where}: {given.dtype} on {given.device} cannot be read as an array ({error}); {_TENSORS}"
            ) from None
        raise BadInput(f"{where}: must be an array or a tensor, got {type(given).__name__} ({error})") from None
    if found.dtype == object or found.ndim == 0:
        raise BadInput(f"{where}: must be an array or a tensor of numbers, got {_form(found)}")
    if found.size == 0:
        raise BadInput(f"{where}: every size must be 1 or more, got {_form(found)}")
    if np.ma.is_masked(found):
        row, *place = (int(number) for number in np.argwhere(np.ma.getmaskarray(found))[0])
        raise BadInput(f"{where}, {_place(row, place)}: is masked; fill masked values, or leave their rows out")
    return np.asarray(found)


def _as_numpy(given: Any) -> npt.NDArray[Any]:
    """Return an array, which is masked if the given one is."""
    if hasattr(given, "detach"):
        # a tensor may need a gradient, lie on a GPU, or be a view that is negated or conjugated when it is read
        return np.asarray(given.detach().cpu().resolve_conj().resolve_neg())
    if isinstance(given, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in given):
        return np.ma.asarray(given)  # NumPy's own would drop the masks
    return np.asanyarray(given)


def _place(row: int, place: Sequence[int]) -> str:
    where = f", place {', '.join(str(number) for number in place)}" if place else ""
    return f"row {row}{where} (counted from 0)"


def _form(found: npt.NDArray[Any]) -> str:
    return f"{found.dtype} of shape {found.shape}"


def _vectors(where: str, found: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    if not np.issubdtype(found.dtype, np.floating):
        raise BadInput(f"{where}: vectors must be floats, got {_form(found)}; {_ALLOWED}")
    with np.errstate(over="ignore"):
        vectors = found.astype(np.float32)
    wrong = ~np.isfinite(vectors)
    if wrong.any():
        row, place = (int(number) for number in np.argwhere(wrong)[0])
        raise BadInput(
            f"{where}, {_place(row, [place])}: vectors must be finite float32 numbers, got {found[row, place]}"
        )
    return vectors


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


def _names(given: Iterable[Any]) -> list[str]:
    if isinstance(given, str | bytes | Mapping | Set) or not isinstance(given, Iterable):
        raise BadInput(f"`classes` must be a list of names, in label order, got {type(given).__name__} {shown(given)}")
    names = [str(name) for name in given]
    if len(names) < 2 or len(set(names)) < len(names):
        raise BadInput(f"`classes` must be two or more different names, in label order, got {shown(names)}")
    return names
