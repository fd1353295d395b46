"""A study whose object storage is cut off, slow, frozen or answering errors, and whose locks are in a database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.fault_lab import Lab, Running, Undisturbed, content, one_cell, wait_until
from tests.servers import SLOW_DOWN, PostgresServer, S3Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

EPOCHS, TRIALS = 25, 3
STUDY = one_cell("on-s3", epochs=EPOCHS, trials=TRIALS)
SHARING = {**STUDY, "name": "sharing", "methods": [{"name": "drw", "params": {"beta": 0.99}}, "drs"]}


def cut_off(s3: S3Server) -> None:
    s3.relay.close()
    time.sleep(20)
    s3.relay.open()


def answering_slow_down(s3: S3Server) -> None:
    s3.relay.answer_with(SLOW_DOWN)
    time.sleep(20)
    s3.relay.answer_with(None)


def breaking(s3: S3Server) -> None:
    for _ in range(40):
        s3.relay.cut()
        time.sleep(0.3)


def slow(s3: S3Server) -> None:
    s3.relay.delay = 0.5
    time.sleep(20)
    s3.relay.delay = 0.0


def frozen(s3: S3Server) -> None:
    s3.relay.freeze()
    time.sleep(40)
    s3.relay.thaw()


@pytest.fixture
def records(postgres: PostgresServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    postgres.execute("DROP DATABASE IF EXISTS ledgered WITH (FORCE)", "CREATE DATABASE ledgered")
    ledger = postgres.url_at(postgres.port, "ledgered")
    yield {"ledger": ledger, "tracking_uri": str(tmp_path / "mlflow" / "mlflow.db")}


@pytest.fixture
def relay_mended(s3_server: S3Server) -> Iterator[None]:
    yield
    s3_server.relay.delay = 0.0
    s3_server.relay.thaw()
    s3_server.relay.answer_with(None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(STUDY, tmp_path_factory.mktemp("undisturbed") / "runs")


def _training(lab: Lab, study: dict[str, Any], records: dict[str, str], epochs: int = 4) -> Running:
    running = lab.run({**study, "records": records})
    wait_until(lambda: lab.epochs_written() >= epochs or running.process.poll() is not None, "the first epochs", 600)
    assert running.process.poll() is None, running.output()
    return running


@pytest.mark.parametrize(
    "fault", [cut_off, answering_slow_down, breaking, slow, frozen], ids=lambda fault: fault.__name__
)
def test_a_study_goes_on_through_a_fault_of_its_storage(
    lab_on_s3: Lab,
    s3_server: S3Server,
    relay_mended: None,
    records: dict[str, str],
    undisturbed: Undisturbed,
    fault: Callable[[S3Server], None],
) -> None:
    running = _training(lab_on_s3, STUDY, records)
    fault(s3_server)
    assert running.wait() == 0, running.output()
    print(running.output())
    assert content(lab_on_s3.view()) == undisturbed.content
    assert lab_on_s3.epochs_written() == TRIALS * EPOCHS  # none was repeated


def test_a_storage_that_stays_away_stops_the_study_and_a_resume_finishes_it(
    lab_on_s3: Lab, s3_server: S3Server, records: dict[str, str], undisturbed: Undisturbed
) -> None:
    running = _training(lab_on_s3, STUDY, records)
    s3_server.relay.close()
    try:
        wait_until(lambda: running.process.poll() is not None, "the end", 600)
    finally:
        s3_server.relay.open()
    print(running.output())
    said = " ".join(running.output().split())
    assert running.process.returncode == 1 and "Traceback" not in said
    assert "the object storage does not answer" in said and "study resume on-s3" in said
    wait_until(lambda: not running.family(), "every process to be gone", 20)
    lab_on_s3.finish()
    assert content(lab_on_s3.view()) == undisturbed.content


def test_locks_that_a_restart_of_their_database_frees_are_taken_again(
    lab_on_s3: Lab, postgres: PostgresServer, records: dict[str, str]
) -> None:
    running = _training(lab_on_s3, SHARING, records)
    for _ in range(3):
        postgres.stop()
        time.sleep(2)
        postgres.start()
        time.sleep(3)
    assert running.process.poll() is not None or lab_on_s3.view().folder.is_driven(), running.output()
    assert running.wait() == 0, running.output()
    print(running.output())
    states = [trial.state for cell in lab_on_s3.view().cells for trial in cell.trials]
    assert states == ["COMPLETE"] * 2 * TRIALS
