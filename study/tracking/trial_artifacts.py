"""MLflow artifacts of a trial: class table, confusion matrix, recall, cumulative false positives."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from study.store.study_view import TrialView
from study.tracking.metric_keys import TEST, VALIDATION
from study.tracking.plots.recall_plots import recall_history_picture, recall_picture
from study.tracking.plots.trial_plots import confusion_picture, false_positives_picture
from trainables.core.metrics import cumulative_false_positives, recall_per_class
from trainables.core.trial_folder import CLASS_RECALL, StoredJson

CLASS_TABLE = "classes.json"
"""The file that MLflow shows as a table; ``classes.parquet`` has the same rows. Both lie in the folder of the images
they are of: ``validation`` or ``test``."""


def table_tag(view: TrialView) -> dict[str, str]:
    """Return the tag that makes MLflow's page show a trial's class tables."""
    splits = [VALIDATION] if view.confirms is None else [TEST, VALIDATION]
    return {"mlflow.loggedArtifacts": json.dumps([{"path": f"{s}/{CLASS_TABLE}", "type": "table"} for s in splits])}


@dataclass(frozen=True)
class ClassTable:
    """Per-class results, one row per class in label order.

    Attributes:
        columns: name -> K entries. ``rank`` is 1 for the class with the most training images;
            ``cumulative_false_positives`` sums over the classes up to that rank.
        bias: distance of the cumulative false-positive curve from a straight line; 0 means no bias.
    """

    columns: dict[str, list[Any]]
    bias: float

    def by_rank(self, column: str) -> list[Any]:
        """Return a column from the most to the least frequent class."""
        rows = sorted(zip(self.columns["rank"], self.columns[column], strict=True), key=lambda row: row[0])
        return [value for _, value in rows]


def class_table(evaluation: StoredJson, split: str = VALIDATION) -> ClassTable:
    """Build the class table of an evaluation.

    Args:
        evaluation: ``confusion`` (K, K) with true classes as rows, ``class_counts`` and ``class_names`` (K).
        split: ``validation`` or ``test``, for the column that counts its images.

    >>> table = class_table({"confusion": [[5, 0], [4, 1]], "class_counts": [9, 2], "class_names": ["a", "b"]})
    >>> table.columns["recall"], table.columns["precision"], table.columns["cumulative_false_positives"]
    ([1.0, 0.2], [0.5555555555555556, 1.0], [4, 4])
    """
    confusion = np.asarray(evaluation["confusion"], dtype=np.int64)
    sizes = np.asarray(evaluation["class_counts"], dtype=np.int64)
    predicted, right = confusion.sum(axis=0), np.diag(confusion)
    rank = np.empty(len(sizes), dtype=np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    curve, bias = cumulative_false_positives(confusion, sizes)
    precision = np.divide(right, predicted, out=np.full(len(sizes), np.nan), where=predicted > 0)
    columns: dict[str, list[Any]] = {
        "class": [str(name) for name in evaluation["class_names"]],
        "rank": rank.tolist(),
        "training_images": sizes.tolist(),
        f"{split}_images": confusion.sum(axis=1).tolist(),
        "recall": recall_per_class(confusion).tolist(),
        "precision": precision.tolist(),
        "false_positives": (predicted - right).tolist(),
        "cumulative_false_positives": curve[rank - 1].tolist(),
    }
    return ClassTable(columns, bias)


def write_artifacts(view: TrialView, evaluation: StoredJson, title: str, folder: Path) -> None:
    """Write the final artifacts of a trial into a folder: those of validation, and of a confirmation trial's test.

    Args:
        view: the trial.
        evaluation: the evaluation of the epoch that is the trial's result, as the trial folder stores it.
        title: the trial's name, for the plots.
        folder: the output folder; must exist.
    """
    _write_split(evaluation, VALIDATION, title, folder / VALIDATION)
    history = [(result["epoch"], result[CLASS_RECALL]) for result in view.history() if result.get(CLASS_RECALL)]
    tested = view.test()
    if tested is not None:
        _write_split(tested, TEST, title, folder / TEST)
    if history:
        names, sizes = evaluation["class_names"], evaluation["class_counts"]
        picture = recall_history_picture(history, names, sizes, f"{title}: validation recall of every class by epoch")
        (folder / VALIDATION / "recall_by_epoch.png").write_bytes(picture)


def _write_split(evaluation: StoredJson, split: str, title: str, folder: Path) -> None:
    folder.mkdir()
    table, epoch = class_table(evaluation, split), evaluation["epoch"]
    names = table.columns["class"]
    pq.write_table(pa.table(table.columns), folder / "classes.parquet")
    (folder / CLASS_TABLE).write_text(_split_table(table.columns), encoding="utf-8")
    counts = {"split": split, "epoch": epoch, "rows": "true class", "columns": "predicted class", "classes": names}
    (folder / "confusion.json").write_text(json.dumps({**counts, "counts": evaluation["confusion"]}), encoding="utf-8")
    caption = f"{title}: {split} images, epoch {epoch}"
    (folder / "confusion.png").write_bytes(confusion_picture(evaluation["confusion"], names, caption))
    recall = recall_picture(table.by_rank("recall"), table.by_rank("class"), table.by_rank("training_images"), caption)
    (folder / "recall.png").write_bytes(recall)
    curve, ranked = table.by_rank("cumulative_false_positives"), table.by_rank("class")
    picture = false_positives_picture(curve, ranked, f"{caption}, bias {table.bias:.3f}")
    (folder / "false_positives.png").write_bytes(picture)


def _split_table(columns: dict[str, list[Any]]) -> str:
    """Return the JSON that MLflow shows as a table. Its `log_table` would append the rows again on every sync."""
    rows = [[_cell(value) for value in row] for row in zip(*columns.values(), strict=True)]
    return json.dumps({"columns": list(columns), "data": rows})


def _cell(value: Any) -> Any:
    """Return a value rounded for the page; ``classes.parquet`` keeps full precision."""
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, 4)
