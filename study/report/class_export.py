"""Export of recall and confusion per class to a Parquet file, one row per trial, set of images and class."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from study.report.export import all_trials, trial_key
from study.report.parquet_file import check_target, write_rows
from study.store.study_folder import StudyFolder
from study.store.study_view import StudyView, TrialView, open_view
from study.store.trial_view import read_ahead
from trainables.core.trial_folder import StoredJson

_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("study", "cell", "dataset", "profile", "method", "phase"), pa.string()),
    **dict.fromkeys(("trial", "seed", "epoch"), pa.int64()),
    "param_source": pa.string(),
    "on": pa.string(),
    "class": pa.int64(),
    "class_name": pa.string(),
    **dict.fromkeys(("training_images", "images", "correct"), pa.int64()),
    "recall": pa.float64(),
    "predicted": pa.list_(pa.int64()),
}


def export_classes(folder: StudyFolder, to: Path, *, force: bool = False) -> int:
    """Write what trials found on each class: validation images of all trials, test images of those that confirm.

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
    check_target(to, "--per-class", force=force)
    rows = class_rows(open_view(folder))
    write_rows(rows, list(_TYPES), _TYPES, to, "--per-class")
    return len(rows)


def class_rows(view: StudyView) -> list[dict[str, Any]]:
    """Return one row per trial, set of images and class, by column."""
    trials = all_trials(view)
    read_ahead(trials)
    return [row for trial in trials for row in _rows(view.spec.name, trial)]


def _rows(study: str, trial: TrialView) -> Iterator[dict[str, Any]]:
    tested = trial.tested()
    for on, found in (("validation", trial.evaluation()), ("test", tested)):
        if found is not None:
            key = {**trial_key(study, trial), "epoch": found["epoch"], "param_source": trial.param_source, "on": on}
            yield from ({**key, **of_class} for of_class in _classes(found))


def _classes(found: StoredJson) -> Iterator[dict[str, Any]]:
    names, counts = found.get("class_names") or [None] * len(found["recall"]), found["class_counts"]
    for k, (recall, predicted) in enumerate(zip(found["recall"], found["confusion"], strict=True)):
        yield {
            "class": k,
            "class_name": names[k],
            "training_images": counts[k],
            "images": sum(predicted),
            "correct": predicted[k],
            "recall": recall,
            "predicted": predicted,
        }
