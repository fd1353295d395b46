"""Parquet files of exports: one type per column, null for NaN, written as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.core.errors import BadInput
from trainables.core.storage_path import write_atomically


def check_target(to: Path, option: str, *, force: bool) -> None:
    """Check the name of a file to write.

    Args:
        to: the file.
        option: the option that named it, for messages.
        force: replace an existing file.

    Raises:
        BadInput: another ending than ``.parquet``, or the file exists without ``force``.
    """
    if to.suffix != ".parquet":
        raise BadInput(f"{option} {to}: must end in .parquet, the only supported format")
    if not force and os.path.lexists(to):
        raise BadInput(f"{option} {to}: already exists; --force replaces it")


def write_rows(
    rows: list[dict[str, Any]], columns: list[str], types: dict[str, pa.DataType], to: Path, option: str
) -> None:
    """Write rows to a Parquet file; a missing value or NaN is null.

    Args:
        rows: column -> value; a column may be absent.
        columns: names of all columns, in order.
        types: types of columns; of the others, numbers are float64 and mixed types text.
        to: the file; its folder is made.
        option: the option that named it, for messages.

    Raises:
        BadInput: the file cannot be written.
    """
    table = pa.table({name: _column([row.get(name) for row in rows], types.get(name)) for name in columns})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(to, sink.getvalue().to_pybytes())
    except OSError as error:
        raise BadInput(f"{option} {to}: cannot be written ({error.strerror})") from None


def _column(values: list[Any], given: pa.DataType | None) -> pa.Array:
    if given is not None:
        return pa.array(values, given, from_pandas=True)  # from_pandas: NaN becomes null
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return pa.array(values, pa.float64(), from_pandas=True)
    return pa.array(values) if len(kinds) == 1 else pa.array([None if v is None else str(v) for v in values])
