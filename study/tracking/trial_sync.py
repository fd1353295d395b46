"""Sync one trial to its MLflow run: while it runs, at its end, and at any later time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from study.spec.objectives import Metrics
from study.store.study_view import TrialView
from study.tracking.data_inputs import StoredData, data_of
from study.tracking.metric_keys import ALWAYS_THERE
from study.tracking.model_logging import log_model
from study.tracking.run_fields import (
    RECORDED,
    VERSION,
    epoch_metrics,
    epoch_times,
    recall_metrics,
    selected_metrics,
    test_metrics,
    trial_parameters,
    trial_tags,
)
from study.tracking.run_index import METRICS_PER_REQUEST, KnownRun, Runs, in_requests
from study.tracking.run_shown import milliseconds
from study.tracking.trial_artifacts import table_tag, write_artifacts
from study.tracking.trial_pictures import write_pictures
from trainables.core.config import TrialConfig
from trainables.core.trial_folder import DamagedBundle, EpochResult, StoredJson, TrialFolder

if TYPE_CHECKING:
    from mlflow.entities import Metric

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}
"""State of an ended trial -> status of its MLflow run. A pruned trial has done what it should: its state is a tag."""


def sync_trial(runs: Runs, view: TrialView, metric: Metrics) -> bool:
    """Sync a trial to its run. The operation is idempotent, also after a kill half way.

    Args:
        runs: the study's runs.
        view: the trial, as the ledger holds it now.
        metric: the study's objective and constrained metrics.

    Returns:
        Whether anything was written.

    Raises:
        DamagedBundle: the trial's files cannot be read; a run without its curves would never be completed.
    """
    with runs.locked():
        run = runs.of_trial(view)
        if run is not None and run.ended:
            return False
        if (damage := view.files.bundle_damage()) is not None:
            raise DamagedBundle(damage)
        found = _read(view)
        done = {RECORDED: VERSION} if view.state in STATUS else {}
        tags = found.tags | {"mlflow.runName": runs.trial_name(view)}
        if view.confirms is not None:  # until the cell's summary says which role the setting has by now
            tags |= runs.setting_tags(view.cell, view.param_source)
        run = run or runs.create_trial(view, tags)
        last = runs.last_epoch(run, ALWAYS_THERE)
        epochs = found.metrics(last, metric)
        if found.data is not None:
            runs.log_data(run, found.data)
        runs.go_on(run)  # after an interruption, or from an older version's end
        if found.final is not None:
            _upload(runs, run, found.final, view)
            selected = selected_metrics(view, metric, found.times)
            time = found.times.get(found.final["epoch"], 0)
            epochs += [*in_requests(selected), test_metrics(view.test(), metric, time)]
            log_model(runs, run, view)
        # a trial without epochs has tags and params only
        *batches, end = [*_whole_epochs(epochs)] or [[]]
        wrote = [runs.write(run, batch, tags, found.parameters) for batch in batches]
        wrote.append(runs.write(run, end, {**tags, **done}, found.parameters))
        run.logged = max([last, *found.times])
        if view.state in STATUS:
            runs.end(run, STATUS[view.state], milliseconds(view.ended))
            run.forget_content()
    return any(wrote) or run.ended


class _Found(NamedTuple):
    """Contents of a trial's run; ``final`` is the last evaluation of an ended trial."""

    history: list[EpochResult]
    times: dict[int, int]
    tags: dict[str, str]
    parameters: dict[str, str]
    final: StoredJson | None
    data: StoredData | None
    recall: list[str]

    def metrics(self, after: int, metric: Metrics) -> list[list[Metric]]:
        new = (result for result in self.history if result["epoch"] > after)
        return [epoch_metrics(result, self.times[result["epoch"]], metric, self.recall) for result in new]


def _read(view: TrialView) -> _Found:
    stored, history, evaluation = view.stored_config(), view.history(), view.evaluation()
    if evaluation is None and view.state not in STATUS:
        history = []  # its first evaluation is being written; it knows the classes and the images of an epoch
    config = TrialConfig.model_validate(stored["trial"]) if stored else view.config
    images = sum(evaluation["class_counts"]) if evaluation else 0
    times = epoch_times(history, milliseconds(view.started), images)
    final = evaluation if view.state in STATUS else None
    tags = trial_tags(view, stored) | (table_tag(view) if final else {})
    recall = recall_metrics(evaluation["class_names"]) if evaluation else []
    data = data_of(view, stored, evaluation)
    return _Found(history, times, tags, trial_parameters(view, config), final, data, recall)


def _whole_epochs(epochs: list[list[Metric]]) -> Iterator[list[Metric]]:
    """Yield batches of whole epochs. A request is stored atomically, so an epoch is too."""
    batch: list[Metric] = []
    for epoch in epochs:
        if batch and len(batch) + len(epoch) > METRICS_PER_REQUEST:
            yield batch
            batch = []
        batch = batch + epoch
    if batch:
        yield batch


def _upload(runs: Runs, run: KnownRun, evaluation: StoredJson, view: TrialView) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        name = runs.trial_name(view)
        write_artifacts(view, evaluation, name, Path(scratch))
        write_pictures(TrialFolder(view.folder), evaluation, name, Path(scratch))
        runs.upload(run, scratch)
