"""Export of all trials and epochs of a study to one Parquet file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from study.store.study_folder import StudyFolder
from study.store.study_view import TrialView, open_view
from trainables.core.errors import BadInput
from trainables.core.trial_folder import CLASS_RECALL, METHOD_METRICS, EpochResult, method_metrics, write_atomically

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

    Columns: study, cell, dataset, profile, ratio, method, phase (``search`` or ``confirm``), trial, state,
    param_source, reason, seed, precision, result_epoch (the epoch that is the trial's result), params (JSON), a column
    ``param.NAME`` per searched param, every metric of the epoch, a column ``method.NAME`` per metric of the method's
    own, and in the result's epoch of a trial that confirms ``test_...``: the same metrics on the test images.

    Args:
        folder: the stored study.
        to: the Parquet file.
        force: replace an existing file.

    Returns:
        The number of rows.

    Raises:
        BadInput: no such study, the file exists without ``force``, or it cannot be written.
    """
    if to.suffix != ".parquet":
        raise BadInput(f"--to {to}: must end in .parquet, the only supported format")
    if not force and os.path.lexists(to):
        raise BadInput(f"--to {to}: already exists; --force replaces it")
    view = open_view(folder)
    trials = [trial for cell in view.cells for trial in (*cell.trials, *cell.confirming)]
    rows = [row for trial in trials for row in _rows(folder.name, trial)]
    table = pa.table({name: _column(name, [row.get(name) for row in rows]) for name in _columns(rows)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(to, sink.getvalue().to_pybytes())
    except OSError as error:
        raise BadInput(f"--to {to}: cannot be written ({error.strerror})") from None
    return len(rows)


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    """Return all column names: those of a trial first, then those of an epoch."""
    names = dict.fromkeys((*_TYPES, *(name for row in rows for name in row)))
    return sorted(names, key=lambda name: name not in _TYPES and not name.startswith(_PARAM))


def _column(name: str, values: list[Any]) -> pa.Array:
    """Return a column of one type: numbers as float64 unless `_TYPES` says otherwise, mixed types as text."""
    if name in _TYPES:
        return pa.array(values, _TYPES[name])
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return pa.array(values, pa.float64())
    return pa.array(values) if len(kinds) == 1 else pa.array([None if v is None else str(v) for v in values])


def _rows(study: str, trial: TrialView) -> list[dict[str, Any]]:
    cell = trial.cell
    shared = {
        "study": study,
        "cell": cell.name,
        "dataset": cell.dataset,
        "profile": cell.profile,
        "ratio": cell.ratio,
        "method": cell.method,
        "phase": trial.phase,
        "trial": trial.number,
        "state": trial.state,
        "param_source": trial.param_source,
        "reason": trial.reason,
        "seed": trial.config.seed,
        "precision": trial.environment().get("precision"),
        "result_epoch": trial.result_epoch,
        "params": json.dumps(trial.params),
        **{f"{_PARAM}{name}": value for name, value in trial.params.items()},
    }
    rows = [{**shared, **_epoch(result)} for result in trial.history()] or [shared]
    tested = trial.test()
    if tested is not None:
        row = next((row for row in rows if row.get("epoch") == trial.result_epoch), rows[-1])
        row |= {f"test_{name}": value for name, value in tested["metrics"].items()}
    return rows


def _epoch(result: EpochResult) -> dict[str, Any]:
    plain = {name: value for name, value in result.items() if name not in (METHOD_METRICS, CLASS_RECALL)}
    return plain | {f"method.{name}": value for name, value in method_metrics(result).items()}
