"""What a run says in MLflow: parameters, tags and metrics, from a trial's view and folder."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from study.spec.objectives import Metrics, names_of
from study.store.study_view import TrialView
from study.tracking.trial_artifacts import CLASS_TABLE
from trainables.core.config import TrialConfig
from trainables.core.trial_folder import Record

if TYPE_CHECKING:
    from mlflow.entities import Metric

    from study.spec.cell import Cell

EPOCH_METRICS = (
    "balanced_accuracy",
    "geometric_mean",
    "worst_recall",
    "many",
    "medium",
    "few",
    "accuracy",
    "loss",
    "train_loss",
    "learning_rate",
    "images_per_second",
)
"""Few and stable keys, the study's own metric besides: MLflow's pages slow down with many."""

ALWAYS_THERE = "learning_rate"
"""The one metric that is never left out for not being a number: it tells which epochs were logged."""

RECALL_CLASSES = 20
"""Up to so many classes, every class's recall is a metric; beyond, the class table alone holds it."""

_NOT_IN_A_KEY = re.compile(r"[^\w .-]")
_TAG_LENGTH = 5000


def milliseconds(moment: datetime | None) -> int:
    """Return a moment as MLflow counts time, 0 for none."""
    return 0 if moment is None else int(moment.timestamp() * 1000)


def shown(value: Any) -> str:
    """Return a value as parameters show it; of a number ten digits, to spare readers 0.30000000000000004.

    >>> shown(0.1 + 0.2), shown(5), shown(True), shown(1e-5)
    ('0.3', '5', 'True', '1e-05')
    """
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def plain(name: str) -> str:
    """Return the name of a searched value as records show it: without the prefix of the training's own.

    >>> plain("training.lr"), plain("gamma")
    ('lr', 'gamma')
    """
    return name.removeprefix("training.")


def cell_tags(cell: Cell) -> dict[str, str]:
    """Return the tags that a cell's run and its trials' runs share."""
    return {
        "study.cell": cell.name,
        "dataset": cell.dataset,
        "profile": cell.profile,
        "ratio": shown(cell.ratio),
        "method": cell.method,
    }


def trial_parameters(view: TrialView, config: TrialConfig) -> dict[str, str]:
    """Return what determines the trial: searched values first, under their own names, then the rest of note."""
    data, training = config.data, config.training
    parameters = {
        **{plain(name): value for name, value in view.params.items()},
        "seed": config.seed,
        "protocol": data.protocol,
        "dataset": view.cell.dataset,
        "profile": view.cell.profile,
        "ratio": data.profile.ratio,
        "label_noise": data.label_noise,
        "subset_seed": data.subset_seed,
        "validation_fraction": data.validation_fraction,
        "model": config.model.name,
        "method": view.cell.method,
        "preset": config.method.preset,
        **config.method.params,
        "schedule": training.schedule.kind,
        **training.model_dump(include=_TRAINING),
    }
    return {name: shown(value) for name, value in parameters.items()}


_TRAINING = {"epochs", "batch_size", "lr", "momentum", "weight_decay", "augmentation", "precision"}


def trial_tags(view: TrialView, stored: Record | None) -> dict[str, str]:
    """Return state, origin and provenance of a trial.

    Args:
        view: the trial.
        stored: its ``trial.json``, or None when its process has not written it yet.
    """
    tags = {"study.state": view.state, "study.phase": view.phase, "param_source": view.param_source}
    if view.reason is not None:
        tags["reason"] = view.reason
        tags["mlflow.note.content"] = f"**{view.state}**\n\n```\n{view.reason}\n```"
    if view.state == "PRUNED":
        budget = view.cell.base.training.epochs
        tags["mlflow.note.content"] = f"**PRUNED**: stopped after {view.epochs} of {budget} epochs"
    if stored is not None:
        environment = stored["environment"]
        tags["data_fingerprint"] = stored["data_fingerprint"]
        tags["environment"] = json.dumps(environment, sort_keys=True)
        for name in ("code", "git_commit", "device", "precision", "host"):
            if environment.get(name) is not None:
                tags[name if name != "precision" else "precision_used"] = str(environment[name])
        if environment.get("git_commit"):
            tags["mlflow.source.git.commit"] = environment["git_commit"].rstrip("+")
    return {name: value[:_TAG_LENGTH] for name, value in tags.items()}


TABLE_TAG = {"mlflow.loggedArtifacts": json.dumps([{"path": CLASS_TABLE, "type": "table"}])}
"""Tells MLflow's page which artifact is a table."""


def epoch_times(history: Sequence[Record], started: int, images: int) -> dict[int, int]:
    """Return when each epoch ended: its training time after the start, in milliseconds.

    The files hold no times of day, and a time that is the same at every reading makes recording twice harmless.

    Args:
        history: epoch records in order.
        started: milliseconds.
        images: training images of an epoch; 0 when unknown.
    """
    times, now = {}, float(started)
    for record in history:
        pace = record.get("images_per_second") or math.nan
        now += max(1.0, 1000 * images / pace) if math.isfinite(pace) else 1.0
        times[record["epoch"]] = int(now)
    return times


def epoch_metrics(record: Record, time: int, study_metric: Metrics) -> list[Metric]:
    """Return the metrics of one epoch; what is not a number is left out."""
    keys = dict.fromkeys((*names_of(study_metric), *EPOCH_METRICS))
    return metrics({key: record[key] for key in keys if key in record}.items(), record["epoch"], time)


def recall_metrics(evaluation: Record, time: int) -> list[Metric]:
    """Return the recall of every class at a trial's end as metrics, none beyond 20 classes.

    At step 0 whatever the epoch: MLflow then draws bars, and a single point of a curve otherwise.
    """
    names = evaluation["class_names"]
    if len(names) > RECALL_CLASSES:
        return []
    keys = recall_keys([str(name) for name in names])
    return metrics(zip(keys, evaluation["recall"], strict=True), 0, time)


def test_metrics(tested: Record | None, time: int) -> list[Metric]:
    """Return what the test images said as metrics ``test_...`` at step 0; none of a trial that they were not shown."""
    found = {} if tested is None else tested["metrics"]
    return metrics({f"test_{name}": value for name, value in found.items()}.items(), 0, time)


def recall_keys(class_names: Sequence[str]) -> list[str]:
    """Return metric keys for classes; characters that MLflow refuses, and the slash, become a hyphen.

    >>> recall_keys(["T-shirt/top", "a:b", "a-b"])
    ['recall/T-shirt-top', 'recall/a-b', 'recall/a-b 2']
    """
    keys: list[str] = []
    for index, name in enumerate(class_names):
        key = f"recall/{_NOT_IN_A_KEY.sub('-', name).strip('. ') or index}"[:200]
        keys.append(key if key not in keys else f"{key} {index}")
    return keys


def metrics(values: Iterable[tuple[str, float]], step: int, time: int) -> list[Metric]:
    """Return finite values as MLflow's metrics."""
    from mlflow.entities import Metric

    return [Metric(k, float(v), time, step) for k, v in values if v is not None and math.isfinite(v)]
