"""Sync one trial to its MLflow run: while it runs, at its end, and at any later time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from study.spec.objectives import Metrics
from study.store.study_view import TrialView
from study.tracking.run_fields import (
    ALWAYS_THERE,
    epoch_metrics,
    epoch_times,
    milliseconds,
    recall_metrics,
    selected_metrics,
    test_metrics,
    trial_parameters,
    trial_tags,
)
from study.tracking.run_index import KnownRun, Runs
from study.tracking.trial_artifacts import TABLE_TAG, write_artifacts
from study.tracking.trial_pictures import write_pictures
from trainables.core.config import TrialConfig
from trainables.core.trial_folder import EpochResult, StoredJson, TrialFolder

if TYPE_CHECKING:
    from mlflow.entities import Metric

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}
"""State of an ended trial -> status of its MLflow run."""

_BATCH = 800
"""Metrics per request, so that params and tags fit into MLflow's limit of 1,000 entries."""


def sync_trial(runs: Runs, view: TrialView, metric: Metrics) -> bool:
    """Sync a trial to its run. The operation is idempotent, also after a kill half way.

    Args:
        runs: the study's runs.
        view: the trial, as the ledger holds it now.
        metric: the study's objective and constrained metrics.

    Returns:
        Whether anything was written.
    """
    with runs.locked():
        run = runs.of_trial(view)
        if run is not None and run.ended:
            return False
        found = _read(view)
        run = run or runs.create_trial(view, found.tags)
        last = runs.last_epoch(run, ALWAYS_THERE)
        epochs = found.metrics(last, metric)
        if found.final is not None:
            _upload(runs, run, found.final, view)
            time = found.times.get(found.final["epoch"], 0)
            epochs += [recall_metrics(found.final, time), test_metrics(view.test(), time)]
            epochs.append(selected_metrics(view, metric, time))
        wrote = [runs.write(run, batch, found.tags, found.parameters) for batch in _whole_epochs(epochs)]
        wrote.append(
            runs.write(run, (), found.tags, found.parameters)
        )  # a trial without epochs has tags and params only
        run.logged = max([last, *found.times])
        if view.state in STATUS:
            runs.end(run, STATUS[view.state], milliseconds(view.ended))
    return any(wrote) or run.ended


class _Found(NamedTuple):
    """Contents of a trial's run; ``final`` is the last evaluation of an ended trial."""

    history: list[EpochResult]
    times: dict[int, int]
    tags: dict[str, str]
    parameters: dict[str, str]
    final: StoredJson | None

    def metrics(self, after: int, metric: Metrics) -> list[list[Metric]]:
        return [epoch_metrics(r, self.times[r["epoch"]], metric) for r in self.history if r["epoch"] > after]


def _read(view: TrialView) -> _Found:
    stored, history, evaluation = view.stored_config(), view.history(), view.evaluation()
    config = TrialConfig.model_validate(stored["trial"]) if stored else view.config
    images = sum(evaluation["class_counts"]) if evaluation else 0
    times = epoch_times(history, milliseconds(view.started), images)
    final = evaluation if view.state in STATUS else None
    tags = trial_tags(view, stored) | (TABLE_TAG if final else {})
    return _Found(history, times, tags, trial_parameters(view, config), final)


def _whole_epochs(epochs: list[list[Metric]]) -> Iterator[list[Metric]]:
    """Yield batches of whole epochs. A request is stored atomically, so an epoch is too."""
    batch: list[Metric] = []
    for epoch in epochs:
        if batch and len(batch) + len(epoch) > _BATCH:
            yield batch
            batch = []
        batch = batch + epoch
    if batch:
        yield batch


def _upload(runs: Runs, run: KnownRun, evaluation: StoredJson, view: TrialView) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        write_artifacts(evaluation, view.key, Path(scratch))
        write_pictures(TrialFolder(view.folder), evaluation, view.key, Path(scratch))
        runs.client.log_artifacts(run.id, scratch)
