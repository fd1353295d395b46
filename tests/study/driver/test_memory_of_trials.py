"""The memory that a driver's own parts keep of every ended trial."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from optuna.storages import InMemoryStorage

from study.driver.trial_manager import TrialManager
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from trainables.core.metric_names import METRICS
from trainables.core.trial_report import EpochDone

TRIALS, FIRST = 150, 50
MOST_BYTES = 100
"""Of a trial; nothing but the ledger keeps more than a little of it."""


def test_nothing_but_the_ledger_keeps_an_ended_trial(
    make_spec: Callable[..., StudySpec], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    search = {"trials": TRIALS, "searcher": "random", "training": {"lr": {"low": 0.01, "high": 1}}}
    spec = make_spec(methods=["erm"], training={"epochs": 1}, search=search)
    manager = TrialManager(Ledger(spec, expand(spec), InMemoryStorage()), tmp_path, listener=lambda trial, ended: None)
    tracemalloc.start(1)
    request.addfinalizer(tracemalloc.stop)
    own = [tracemalloc.Filter(True, "*/study/driver/*"), tracemalloc.Filter(True, "*/trainables/*")]
    kept = {}
    for number in range(1, TRIALS + 1):
        assert manager.start(str(number)) is not None
        result = {"epoch": 1, **dict.fromkeys(METRICS, 0.5)}
        manager.end(str(number), EpochDone(result, finished=True), failed=False)
        if number in (FIRST, TRIALS):
            gc.collect()
            found = tracemalloc.take_snapshot().filter_traces(own).statistics("filename")
            kept[number] = sum(part.size for part in found)
    assert manager.running == 0
    assert (kept[TRIALS] - kept[FIRST]) / (TRIALS - FIRST) < MOST_BYTES
