"""Export of all trials and epochs of a study to one Parquet file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from study.report.parquet_file import check_target, write_rows
from study.store.study_folder import StudyFolder
from study.store.study_view import StudyView, TrialView, open_view
from study.store.trial_view import read_ahead
from trainables.core.trial_folder import CLASS_RECALL, METHOD_METRICS, EpochResult, method_metrics

_PARAM = "param."
_TEXTS = (
    "study",
    "cell",
    "dataset",
    "profile",
    "method",
    "phase",
    "state",
    "param_source",
    "reason",
    "params",
    "stage",
    "precision",
)
_TYPES = {
    **dict.fromkeys(_TEXTS, pa.string()),
    "ratio": pa.float64(),
    **dict.fromkeys(("trial", "seed", "result_epoch", "epoch"), pa.int64()),
}


def export_study(folder: StudyFolder, to: Path, *, force: bool = False) -> int:
    """Write one row per trial and epoch; a trial without a finished epoch has one row without metrics.

    docs/export.md describes every column.

    Args:
        folder: the stored study.
        to: the Parquet file.
        force: replace an existing file.

    Returns:
        The number of rows.

    Raises:
        BadInput: no such study, the file exists without ``force``, or it cannot be written.
    """
    check_target(to, "--to", force=force)
    rows = epoch_rows(open_view(folder))
    write_rows(rows, _columns(rows), _TYPES, to, "--to")
    return len(rows)


def epoch_rows(view: StudyView) -> list[dict[str, Any]]:
    """Return one row per trial and epoch, by column; a trial without a finished epoch has one row without metrics."""
    trials = all_trials(view)
    read_ahead(trials)
    return [row for trial in trials for row in _rows(view.spec.name, trial)]


def all_trials(view: StudyView) -> list[TrialView]:
    """Return the trials of the search and the confirmation, cell by cell."""
    return [trial for cell in view.cells for trial in cell.all_trials]


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return all column names: those of a trial first, then those of an epoch."""
    names = dict.fromkeys((*_TYPES, *(name for row in rows for name in row)))
    return sorted(names, key=lambda name: name not in _TYPES and not name.startswith(_PARAM))


def _rows(study: str, trial: TrialView) -> list[dict[str, Any]]:
    tested = trial.tested()
    shared = trial_row(study, trial)
    rows = [{**shared, **_epoch(result)} for result in trial.history()] or [shared]
    if tested is not None:
        row = next((row for row in rows if row.get("epoch") == trial.result_epoch), rows[-1])
        row |= {f"test_{name}": value for name, value in tested["metrics"].items()}
    return rows


def trial_row(study: str, trial: TrialView) -> dict[str, Any]:
    """Return the columns of a trial that do not change from epoch to epoch."""
    trained_in = trial.trained_in()
    return {
        **trial_key(study, trial),
        "ratio": trial.cell.ratio,
        "state": trial.state,
        "param_source": trial.param_source,
        "reason": trial.reason,
        "precision": None if trained_in is None else trained_in[0],
        "result_epoch": trial.result_epoch,
        **param_columns(trial.params),
    }


def param_columns(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a setting: all params as JSON, and each by itself."""
    return {"params": json.dumps(params), **{f"{_PARAM}{name}": value for name, value in params.items()}}


def trial_key(study: str, trial: TrialView) -> dict[str, Any]:
    """Return the columns that every exported table has: they name one trial, and its data, method and seed."""
    cell = trial.cell
    return {
        "study": study,
        "cell": cell.name,
        "dataset": cell.dataset,
        "profile": cell.profile,
        "method": cell.method,
        "phase": trial.phase,
        "trial": trial.number,
        "seed": trial.config.seed,
    }


def _epoch(result: EpochResult) -> dict[str, Any]:
    plain = {name: value for name, value in result.items() if name not in (METHOD_METRICS, CLASS_RECALL)}
    return plain | {f"method.{name}": value for name, value in method_metrics(result).items()}
