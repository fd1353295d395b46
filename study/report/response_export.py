"""Export of the responses of a study's methods to the imbalance ratio to a Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from study.report.export import param_columns
from study.report.parquet_file import check_target, write_rows
from study.search.ratio_response import ratio_responses
from study.store.study_folder import StudyFolder
from study.store.study_view import StudyView, open_view

RESPONSE_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("study", "dataset", "profile_kind", "method", "metric"), pa.string()),
    **dict.fromkeys(("ratio", "mean", "low", "high"), pa.float64()),
    "trials": pa.int64(),
    "params": pa.string(),
}
"""Columns and their types, without those of the single params."""


def export_responses(folder: StudyFolder, to: Path, *, force: bool = False) -> int:
    """Write what the best setting of every method is expected to reach at every ratio.

    docs/export.md describes every column. A study without a response, such as one of a single ratio, has no rows.

    Args:
        folder: the stored study.
        to: the Parquet file.
        force: replace an existing file.

    Returns:
        The number of rows.

    Raises:
        BadInput: no such study, the file exists without ``force``, or it cannot be written.
    """
    check_target(to, "--responses", force=force)
    rows = response_rows(open_view(folder))
    write_rows(rows, response_columns(rows), RESPONSE_TYPES, to, "--responses")
    return len(rows)


def response_columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return the names of all columns: those of every study, then one per searched param."""
    return list(dict.fromkeys((*RESPONSE_TYPES, *(name for row in rows for name in row))))


def response_rows(view: StudyView) -> list[dict[str, Any]]:
    """Return one row per data set, kind of profile, method and ratio, by column."""
    metric = view.spec.search.metrics[0]
    return [
        {
            "study": view.spec.name,
            "dataset": one.dataset,
            "profile_kind": one.profile_kind,
            "method": one.method,
            "metric": metric,
            "ratio": ratio,
            "mean": mean,
            "low": low,
            "high": high,
            "trials": one.trials,
            **param_columns(setting),
        }
        for one in ratio_responses(view.spec, [(cell.cell, cell.frozen) for cell in view.cells])
        for ratio, mean, low, high, setting in zip(one.ratios, one.mean, one.low, one.high, one.settings, strict=True)
    ]
