"""Contents of an MLflow run: params, tags and metrics, derived from a trial's view and folder."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from study.spec.objectives import Metrics, names_of
from study.store.study_view import TrialView
from trainables.core.config import TrialConfig
from trainables.core.trial_folder import EpochResult, StoredJson, method_metrics

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
"""Logged metrics, beside the study's own. Few and stable keys: MLflow's pages slow down with many."""

ALWAYS_THERE = "learning_rate"
"""A metric that is always finite, so its history tells which epochs were logged."""

RECALL_CLASSES = 20
"""Largest number of classes whose recalls are logged as metrics. Beyond it, only the class table has them."""

_NOT_IN_A_KEY = re.compile(r"[^\w .-]")
_TAG_LENGTH = 5000


def milliseconds(moment: datetime | None) -> int:
    """Return a moment in MLflow's unit, milliseconds since the epoch; 0 for None."""
    return 0 if moment is None else int(moment.timestamp() * 1000)


def shown(value: Any) -> str:
    """Format a value for display; floats get ten significant digits, so that 0.1 + 0.2 reads 0.3.

    >>> shown(0.1 + 0.2), shown(5), shown(True), shown(1e-5)
    ('0.3', '5', 'True', '1e-05')
    """
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def plain(name: str) -> str:
    """Return the display name of a searched param, without the prefix ``training.``.

    >>> plain("training.lr"), plain("gamma")
    ('lr', 'gamma')
    """
    return name.removeprefix("training.")


def cell_tags(cell: Cell) -> dict[str, str]:
    """Return the tags common to a cell's run and its trials' runs."""
    return {
        "study.cell": cell.name,
        "dataset": cell.dataset,
        "profile": cell.profile,
        "ratio": shown(cell.ratio),
        "method": cell.method,
    }


def trial_parameters(view: TrialView, config: TrialConfig) -> dict[str, str]:
    """Return the MLflow params of a trial: searched params first, then the settings that determine its numbers."""
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


def trial_tags(view: TrialView, stored: StoredJson | None) -> dict[str, str]:
    """Return the tags of a trial: state, source of its params, provenance.

    Args:
        view: the trial.
        stored: its ``trial.json``, or None if its process has not written it yet.
    """
    tags = {"study.state": view.state, "study.phase": view.phase, "param_source": view.param_source}
    if view.selected_epoch is not None:
        tags["selected_epoch"] = str(view.selected_epoch)
    if view.reason is not None:
        tags["reason"] = view.reason
        tags["mlflow.note.content"] = f"**{view.state}**\n\n```\n{view.reason}\n```"
    if view.state == "PRUNED":
        budget = view.cell.base.training.epochs
        tags["mlflow.note.content"] = f"**PRUNED**: stopped after {view.epochs} of {budget} epochs"
    if notices := view.notices():
        tags["notice"] = "; ".join(notices)
        tags["mlflow.note.content"] = "\n\n".join([*filter(None, [tags.get("mlflow.note.content")]), *notices])
    if stored is not None:
        environment = stored["environment"]
        tags["data_fingerprint"] = stored["data_fingerprint"]
        if "reference_seed" in stored:
            tags["reference_seed"] = str(stored["reference_seed"])
        tags["environment"] = json.dumps(environment, sort_keys=True)
        for name in ("code", "git_commit", "device", "precision", "host"):
            if environment.get(name) is not None:
                tags[name if name != "precision" else "precision_used"] = str(environment[name])
        if environment.get("git_commit"):
            tags["mlflow.source.git.commit"] = environment["git_commit"].rstrip("+")
    return {name: value[:_TAG_LENGTH] for name, value in tags.items()}


def epoch_times(history: Sequence[EpochResult], started: int, images: int) -> dict[int, int]:
    """Return the end time of each epoch in milliseconds, computed from its throughput.

    The files contain no timestamps. A time that is the same at every reading makes syncing idempotent.

    Args:
        history: epoch results in order.
        started: start of the trial in milliseconds.
        images: training images per epoch; 0 if unknown.
    """
    times, now = {}, float(started)
    for result in history:
        pace = result.get("images_per_second") or math.nan
        now += max(1.0, 1000 * images / pace) if math.isfinite(pace) else 1.0
        times[result["epoch"]] = int(now)
    return times


def epoch_metrics(result: EpochResult, time: int, study_metric: Metrics) -> list[Metric]:
    """Return the finite metrics of one epoch; the method's own are ``method/NAME``."""
    keys = dict.fromkeys((*names_of(study_metric), *EPOCH_METRICS))
    found = {key: result[key] for key in keys if key in result}
    found |= {f"method/{name}": value for name, value in method_metrics(result).items()}
    return metrics(found.items(), result["epoch"], time)


def recall_metrics(evaluation: StoredJson, time: int) -> list[Metric]:
    """Return the final recall of each class as metrics; none with more than 20 classes.

    The step is always 0: MLflow draws bars for it, where another step would give a curve of one point.
    """
    names = evaluation["class_names"]
    if len(names) > RECALL_CLASSES:
        return []
    keys = recall_keys([str(name) for name in names])
    return metrics(zip(keys, evaluation["recall"], strict=True), 0, time)


def selected_metrics(view: TrialView, study_metric: Metrics, time: int) -> list[Metric]:
    """Return the study's metrics at the selected epoch as ``selected_...`` at step 0; none under ``select: last``.

    MLflow's tables show the last value of a curve, which is not the trial's result under ``select: best``.
    """
    if view.selected_epoch is None:
        return []
    result = view.result()
    values = ((f"selected_{name}", result.get(name)) for name in names_of(study_metric))
    return metrics(((key, value) for key, value in values if value is not None), 0, time)


def test_metrics(tested: StoredJson | None, time: int) -> list[Metric]:
    """Return the test metrics as ``test_...`` at step 0; none for a trial without a test evaluation."""
    found = {} if tested is None else tested["metrics"]
    return metrics({f"test_{name}": value for name, value in found.items()}.items(), 0, time)


def recall_keys(class_names: Sequence[str]) -> list[str]:
    """Return the metric keys of classes; slashes and characters that MLflow refuses become hyphens.

    >>> recall_keys(["T-shirt/top", "a:b", "a-b"])
    ['recall/T-shirt-top', 'recall/a-b', 'recall/a-b 2']
    """
    keys: list[str] = []
    for index, name in enumerate(class_names):
        key = f"recall/{_NOT_IN_A_KEY.sub('-', name).strip('. ') or index}"[:200]
        keys.append(key if key not in keys else f"{key} {index}")
    return keys


def metrics(values: Iterable[tuple[str, float]], step: int, time: int) -> list[Metric]:
    """Return the finite values as MLflow metrics."""
    from mlflow.entities import Metric

    return [Metric(k, float(v), time, step) for k, v in values if v is not None and math.isfinite(v)]
