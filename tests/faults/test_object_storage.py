"""A study on S3 with its ledger in PostgreSQL: killed, cut off from its storage, and compared with a local one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from study.store.study_folder import StudyFolder
from tests.faults.fault_lab import Lab, content, timeless, wait_until
from tests.servers import PostgresServer, S3Server
from trainables.core.storage_path import files_below
from trainables.core.trial_folder import PACK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

STUDY: dict[str, Any] = {
    "name": "stored",
    "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 20}]}],
    "methods": ["erm", "drw"],
    "model": "mlp",
    "training": {"epochs": 8, "batch_size": 32, "lr": 0.05, "checkpoint_seconds": 0, "precision": "float32"},
    "search": {"trials": 2, "concurrency": 1, "pruner": "none"},
    "confirm": {"seeds": 1},
    "artifacts": {"embedding": "none", "mistakes": "none"},
}


def _numbers(lab: Lab) -> dict[str, Any]:
    """Return all that the files of a study say of its trials, without times."""
    trials = (trial for cell in lab.view().cells for trial in cell.all_trials)
    return {t.key: ([timeless(r) for r in t.history()], t.evaluation(), repr(t.test())) for t in trials}


def test_killed_and_cut_off_a_study_on_s3_equals_one_in_a_folder(
    lab: Lab, lab_on_s3: Lab, s3_server: S3Server, postgres: PostgresServer, tmp_path: Path
) -> None:
    records = {"ledger": postgres.url, "tracking_uri": str(tmp_path / "mlflow" / "mlflow.db")}
    running = lab_on_s3.run({**STUDY, "records": records})
    wait_until(lambda: lab_on_s3.epochs_written() >= 3 or running.process.poll() is not None, "the first epochs", 600)
    driven = lab_on_s3.view()
    assert driven.folder.is_driven()
    running.kill_everything()
    assert not StudyFolder(lab_on_s3.storage, "stored").is_driven()

    running = lab_on_s3.resume()
    wait_until(lambda: lab_on_s3.ended() >= 2 or running.process.poll() is not None, "two trials", 600)
    s3_server.relay.close()
    try:
        time.sleep(8)  # longer than a trial takes
        assert running.process.poll() is None, running.output()
    finally:
        s3_server.relay.open()
    assert running.wait() == 0, running.output()
    assert "study 'stored' is finished" in running.output()

    local = lab.run(STUDY)
    assert local.wait() == 0, local.output()
    assert content(lab_on_s3.view()) == content(lab.view())
    assert _numbers(lab_on_s3) == _numbers(lab)
    names = [file.name for file in files_below(lab_on_s3.path / "cells")]
    assert names.count(PACK) == len(_numbers(lab)) and "trial.json" not in names
