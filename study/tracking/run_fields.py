"""Contents of an MLflow run: params, tags and metrics, derived from a trial's view and folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from study.spec.objectives import Metrics, names_of
from study.store.study_view import TrialView
from study.tracking.metric_keys import (
    EPOCH_METRICS,
    TEST_METRICS,
    epoch_key,
    method_key,
    recall_keys,
    selected_key,
    test_key,
)
from study.tracking.run_shown import plain, shown
from trainables.core.config import TrainingConfig, TrialConfig
from trainables.core.epoch_selection import best_epoch
from trainables.core.trial_folder import CLASS_RECALL, EpochResult, StoredJson, method_metrics
from trainables.methods.registry import selectable_after

if TYPE_CHECKING:
    from mlflow.entities import Metric

    from study.spec.cell import Cell

RECORDED = "study.records"
"""Tag of a run with everything in it: the version of what these modules write. It is missing in older runs."""

VERSION = "2"

STUDY, CELL, TRIAL, CONFIRMED = "study", "cell", "trial", "confirmed"
"""Values of the tag ``study.kind``."""

RECALL_CLASSES = 20
"""Largest number of classes whose recalls are logged as metrics. Beyond it, pictures and the class table have them."""

TAG_LENGTH = 5000
"""Longest value of a tag that every supported server stores."""


def cell_tags(cell: Cell) -> dict[str, str]:
    """Return the tags common to a cell's run and its trials' runs."""
    return {
        "study.cell": cell.name,
        "dataset": cell.dataset,
        "profile": cell.profile,
        "ratio": shown(cell.ratio),
        "method": cell.method,
    }


def cell_parameters(cell: Cell) -> dict[str, str]:
    """Return the MLflow params of a cell: what tells cells apart, and the settings that its trials share."""
    config = cell.base
    parameters = {
        "method": cell.method,
        "ratio": cell.ratio,
        "dataset": cell.dataset,
        "profile": cell.profile,
        "model": config.model.name,
        **_tuned(config),
        "preset": config.method.preset,
        "protocol": config.data.protocol,
        "epochs": config.training.epochs,
    }
    return {name: shown(value) for name, value in parameters.items()}


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
        **_tuned(config),
        "method": view.cell.method,
        "preset": config.method.preset,
        **config.method.params,
        "schedule": training.schedule.kind,
        **training.model_dump(include=_TRAINING),
        **{name: value for name, value in _departures(training).items() if name in _IF_USED},
    }
    return {name: shown(value) for name, value in parameters.items()}


def _tuned(config: TrialConfig) -> dict[str, str]:
    return {} if config.model.tuned is None else {"tuned": config.model.tuned.scope}


_TRAINING = {"epochs", "batch_size", "lr", "momentum", "weight_decay", "augmentation", "precision"}
_IF_USED = ("auto_augment", "rand_magnitude", "cutout", "optimizer", "layer_decay", "clip_norm", "ema")
"""Fields that are shown only where they depart from the papers' recipes."""


def _departures(training: TrainingConfig) -> dict[str, Any]:
    fields = TrainingConfig.model_fields
    return {name: value for name, value in training.model_dump().items() if value != fields[name].default}


def trial_tags(view: TrialView, stored: StoredJson | None) -> dict[str, str]:
    """Return the tags of a trial: state, source of its params, provenance.

    Args:
        view: the trial.
        stored: its ``trial.json``, or None if its process has not written it yet.
    """
    tags = {"study.state": view.state, "study.phase": view.phase, "param_source": view.param_source}
    tags["study.kind"] = TRIAL if view.confirms is None else CONFIRMED
    if view.selected_epoch is not None:
        tags["selected_epoch"] = str(view.selected_epoch)
    if view.reason is not None:
        tags["reason"] = view.reason
        tags["mlflow.note.content"] = f"**{view.state}**\n\n```\n{view.reason}\n```"
    if view.state == "PRUNED":
        budget = view.cell.base.training.epochs
        tags["mlflow.note.content"] = f"**PRUNED**: stopped after {view.epochs} of {budget} epochs, as planned"
    if view.state == "COMPLETE":
        tags["mlflow.note.content"] = _result_note(view)
    if notices := view.notices():
        tags["notice"] = "; ".join(notices)
        tags["mlflow.note.content"] = "\n\n".join([*filter(None, [tags.get("mlflow.note.content")]), *notices])
    if stored is not None:
        environment = stored["environment"]
        tags["data_fingerprint"] = stored["data_fingerprint"]
        if "test_images" in stored:
            tags["test_images"] = str(stored["test_images"])
        if "reference_seed" in stored:
            tags["reference_seed"] = str(stored["reference_seed"])
        tags["environment"] = json.dumps(environment, sort_keys=True)
        for name in ("code", "git_commit", "device", "precision", "host"):
            if environment.get(name) is not None:
                tags[name if name != "precision" else "precision_used"] = str(environment[name])
        for name in ("trained_parameters", "parameters"):
            if environment.get(name) is not None:
                tags[name] = str(environment[name])
        if environment.get("git_commit"):
            tags["mlflow.source.git.commit"] = environment["git_commit"].rstrip("+")
    return {name: value[:TAG_LENGTH] for name, value in tags.items()}


def _result_note(view: TrialView) -> str:
    """Return a complete trial's result in Markdown; of a confirmation trial, that on the test images."""
    epoch = f", epoch {view.result_epoch}" if view.selected_epoch is not None else ""
    tested = view.test()
    if tested is None:
        return f"Validation images{epoch}: {_values(view.result())}"
    return (
        f"Confirmation of `{view.param_source}` with seed {view.confirms}.\n\n"
        f"Test images{epoch}: {_values(tested['metrics'])}"
    )


def _values(found: Mapping[str, Any]) -> str:
    shown_now = ((name, found.get(name)) for name in TEST_METRICS)
    return ", ".join(f"{name} **{v:.4f}**" for name, v in shown_now if v is not None and math.isfinite(v))


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


def epoch_metrics(result: EpochResult, time: int, study_metric: Metrics, recall: Sequence[str] = ()) -> list[Metric]:
    """Return the finite metrics of one epoch.

    Args:
        result: the epoch.
        time: its end in milliseconds.
        study_metric: the study's objective and constrained metrics.
        recall: keys of the classes' recalls, if they are to be logged and the epoch has them.
    """
    names = dict.fromkeys((*names_of(study_metric), *EPOCH_METRICS))
    found = {epoch_key(name): result[name] for name in names if name in result}
    found |= {method_key(name): value for name, value in method_metrics(result).items()}
    found |= dict(zip(recall, result.get(CLASS_RECALL) or (), strict=False))
    return metrics(found.items(), result["epoch"], time)


def recall_metrics(class_names: Sequence[str]) -> list[str]:
    """Return the keys of the classes' recalls; none with more than 20 classes."""
    return recall_keys([str(name) for name in class_names]) if len(class_names) <= RECALL_CLASSES else []


def selected_metrics(view: TrialView, study_metric: Metrics, times: Mapping[int, int]) -> list[Metric]:
    """Return, epoch by epoch, the study's metrics at the best epoch so far; none under ``select: last``.

    MLflow's tables show the last value of a curve. Under ``select: best`` the trial's result is the last value of
    ``validation/selected/...``, not that of ``validation/...``.
    """
    if view.selected_epoch is None:
        return []
    names, history = names_of(study_metric), view.history()
    by_epoch = {result["epoch"]: result for result in history}
    values = {epoch: result[names[0]] for epoch, result in by_epoch.items() if result.get(names[0]) is not None}
    after = selectable_after(view.config)
    found: list[Metric] = []
    for epoch in sorted(by_epoch):
        seen = {e: value for e, value in values.items() if e <= epoch}
        best = view.selected_epoch if epoch >= view.selected_epoch else best_epoch(names[0], seen, after)
        if best is not None and best in by_epoch:
            shown_now = ((selected_key(name), by_epoch[best].get(name)) for name in names)
            found += metrics(((k, v) for k, v in shown_now if v is not None), epoch, times.get(epoch, 0))
    return found


def test_metrics(tested: StoredJson | None, study_metric: Metrics, time: int) -> list[Metric]:
    """Return the test metrics as ``test/...`` at the tested epoch; none for a trial without a test evaluation."""
    if tested is None:
        return []
    names = dict.fromkeys((*names_of(study_metric), *TEST_METRICS))
    found = {test_key(name): tested["metrics"][name] for name in names if name in tested["metrics"]}
    return metrics(found.items(), 0, time)


def metrics(values: Iterable[tuple[str, float]], step: int, time: int) -> list[Metric]:
    """Return the finite values as MLflow metrics."""
    from mlflow.entities import Metric

    return [Metric(k, float(v), time, step) for k, v in values if v is not None and math.isfinite(v)]
