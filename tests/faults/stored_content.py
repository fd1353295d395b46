"""Everything that a study has stored, without times and speeds, to be compared digit by digit with another run."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.faults.fault_lab import timeless
from trainables.core.errors import BadInput
from trainables.core.trial_folder import EpochResult, TrialFolder
from trainables.training.checkpoints import load_state

ENDED = ("COMPLETE", "PRUNED", "FAIL")

_RECORDS = ("evaluation", "test", "offsets", "artifact-errors")
_ARRAYS = ("mistakes", "translations", "embedding", "model")
_SPEED = "per_second"
"""Part of the names of metrics that no two runs share."""

Content = dict[str, str]
"""Parts of something stored: name of the part -> digest of what it holds."""


def trials_in_ledger(study: Path) -> dict[str, tuple[str, str]]:
    """Return of every started trial its state, and a digest of all that the ledger says of its result."""
    try:
        view = open_view(StudyFolder(study.parent, study.name))
    except BadInput:  # killed before the study was stored
        return {}
    reported = {
        trial.key: frozen.intermediate_values
        for cell in view.cells
        for trial, frozen in zip(cell.trials, cell.frozen, strict=True)
    }
    return {
        trial.key: (
            trial.state,
            _digest(
                *(trial.state, trial.params, trial.values, trial.param_source, trial.reason, trial.reported),
                *(
                    trial.confirms,
                    trial.selected_epoch,
                    trial.method_metrics,
                    trial.ended_with,
                    reported.get(trial.key),
                ),
            ),
        )
        for cell in view.cells
        for trial in cell.all_trials
    }


def trial_content(folder: Path) -> Content:
    """Return what the files of a trial hold, bundled or not."""
    files = TrialFolder(folder)
    config = files.config() or {}
    found = {
        "epochs": _digest([timeless(result) for result in files.history()]),
        "trial": _digest(config.get("trial"), config.get("data_fingerprint"), config.get("reference_seed")),
    }
    found |= {name: _digest(record) for name in _RECORDS if (record := files.record(name)) is not None}
    found |= {name: _digest(_plain(arrays)) for name in _ARRAYS if (arrays := files.arrays(name)) is not None}
    if (table := folder / "logits.parquet").exists():
        found["logits"] = _digest(pq.read_table(table).to_pydict())
    if (network := folder / "model.pt2").exists():
        found["network"] = _digest(_plain(torch.export.load(network).state_dict))
    for path in folder.glob("checkpoint-*.pt"):
        state = load_state(path) or {}
        result = timeless(json.loads(state.pop("result", "{}")))
        found[path.stem] = _digest(_plain(state), result)
    return found


def trained_epochs(folder: Path) -> list[EpochResult]:
    """Return the epochs that were trained in a folder, in all attempts, without those taken over from elsewhere."""
    return [result for attempt in TrialFolder(folder).attempts() for result in attempt if not result.get("shared")]


def repetitions_differ(folder: Path) -> bool:
    """Return whether an epoch that was trained more than once gave other digits."""
    said: dict[int, dict[str, str]] = {}
    return any(said.setdefault(one["epoch"], timeless(one)) != timeless(one) for one in trained_epochs(folder))


def recorded_runs(database: Path, study: str) -> dict[str, list[str]]:
    """Return what MLflow's database says of a study: trial or cell -> a digest for each of its runs."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:

        def read(query: str, *given: Any) -> list[tuple[Any, ...]]:
            return connection.execute(query, given).fetchall()

        ((experiment,),) = read("select experiment_id from experiments where name = ?", study)
        found: dict[str, list[str]] = {}
        for run, name, status in read("select run_uuid, name, status from runs where experiment_id = ?", experiment):
            tags = dict(read("select key, value from tags where run_uuid = ?", run))
            metrics = read("select key, step, value from metrics where run_uuid = ? order by key, step, value", run)
            params = read("select key, value from params where run_uuid = ? order by key", run)
            kept = [row for row in metrics if _SPEED not in row[0]]
            key = tags.get("study.trial", f"run {name}")
            found.setdefault(key, []).append(_digest(status, tags.get("study.state"), kept, params))
    return found


def differing(found: Content, expected: Content) -> list[str]:
    """Return the names of the parts that differ, are missing or should not be there."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def _plain(value: Any) -> Any:
    """Return nested containers of tensors and arrays as values whose ``repr`` holds every digit."""
    match value:
        case torch.Tensor():
            return _plain(value.detach().cpu().contiguous().numpy())
        case np.ndarray():
            return value.dtype.str, value.shape, value.tobytes()
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value


def _digest(*parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
