"""Feature vectors from Parquet files, for example of texts or from another network."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainables.core.errors import BadInput

COLUMN = "features"


def is_vector_type(kind: Any) -> bool:
    """Return True if an Arrow type is a list, of fixed or variable size, of floating-point numbers."""
    import pyarrow.types as types

    lists = types.is_fixed_size_list(kind) or types.is_list(kind) or types.is_large_list(kind)
    return bool(lists and types.is_floating(kind.value_type))


def read_vectors(batches: Iterable[Any], rows: int, path: Path) -> npt.NDArray[np.float32]:
    """Collect vectors from Arrow arrays of lists.

    Args:
        batches: arrays without nulls, in row order.
        rows: total number of vectors, at least 1.
        path: path of the file, for messages.

    Returns:
        float32 (rows, D, 1, 1), finite.

    Raises:
        BadInput: if a vector is empty, differs in length from the first, or holds a null, NaN or infinity in float32.
    """
    vectors: npt.NDArray[np.float32] | None = None
    done = 0
    for batch in batches:
        lengths = np.diff(_offsets(batch))
        if vectors is None:
            vectors = np.empty((rows, int(lengths[0])), np.float32)
        wrong = lengths != vectors.shape[1]
        if wrong.any() or vectors.shape[1] == 0:
            row = int(np.argmax(wrong))
            raise BadInput(
                f"{path}, row {done + row} (counted from 0): expected a vector of {vectors.shape[1] or 'some'} "
                f"numbers in `{COLUMN}`{' like the ones before' if wrong.any() else ''}, got {lengths[row]}"
            )
        # Nulls become NaN and 1e300 becomes infinity; both are refused below, so no warning is needed.
        with np.errstate(over="ignore"):
            flat = batch.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        part = flat.reshape(len(batch), -1)
        _refuse_infinite(part, done, path)
        vectors[done : done + len(part)] = part
        done += len(part)
    assert vectors is not None and done == rows, (done, rows)
    return vectors[:, :, None, None]


def _offsets(batch: Any) -> npt.NDArray[np.int64]:
    import pyarrow.types as types

    if types.is_fixed_size_list(batch.type):
        return np.arange(len(batch) + 1) * int(batch.type.list_size)
    return np.asarray(batch.offsets.to_numpy(), np.int64)


def _refuse_infinite(part: npt.NDArray[np.float32], first: int, path: Path) -> None:
    wrong = ~np.isfinite(part)
    if wrong.any():
        row, feature = (int(place) for place in np.argwhere(wrong)[0])
        raise BadInput(
            f"{path}, row {first + row} (counted from 0): `{COLUMN}` must be finite float32 numbers, got "
            f"{part[row, feature]} in place {feature} (counted from 0)"
        )
