"""A study whose MLflow server is stopped, slow, frozen or answering errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.fault_lab import Lab, one_cell, wait_until
from tests.servers import MlflowServer, http_error

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EPOCHS, TRIALS = 60, 4
STUDY = one_cell("recorded", epochs=EPOCHS, trials=TRIALS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    made = MlflowServer(tmp_path / "server")
    yield made
    made.relay.thaw()
    made.relay.close()
    made.stop()


def stopped(server: MlflowServer) -> Callable[[], None]:
    server.stop()
    return server.start


def answering_500(server: MlflowServer) -> Callable[[], None]:
    server.relay.answer_with(http_error("500 Internal Server Error", b"out of order"))
    return lambda: server.relay.answer_with(None)


def slow(server: MlflowServer) -> Callable[[], None]:
    server.relay.delay = 1.0

    def end() -> None:
        server.relay.delay = 0.0

    return end


def frozen(server: MlflowServer) -> Callable[[], None]:
    server.relay.freeze()
    return server.relay.thaw


def _steps_of_trials(url: str) -> list[list[int]]:
    """Return the steps of every trial's run, in the order of the runs' names."""
    from mlflow import MlflowClient

    client = MlflowClient(url)
    (experiment,) = (one for one in client.search_experiments() if "recorded" in one.name)
    runs = [run for run in client.search_runs([experiment.experiment_id]) if run.data.tags.get("study.kind") == "trial"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    key = "validation/balanced_accuracy"
    return [sorted(point.step for point in client.get_metric_history(run.info.run_id, key)) for run in runs]


@pytest.mark.parametrize("fault", [stopped, answering_500, slow, frozen], ids=lambda fault: fault.__name__)
def test_training_never_waits_for_mlflow_and_the_records_are_complete(
    lab: Lab, server: MlflowServer, fault: Callable[[MlflowServer], Callable[[], None]]
) -> None:
    running = lab.run({**STUDY, "records": {"tracking_uri": server.url}})
    wait_until(lambda: lab.epochs_written() >= 5 or running.process.poll() is not None, "the first epochs")
    mend = fault(server)
    begun = time.monotonic()
    wait_until(lambda: lab.ended() >= TRIALS - 1 or running.process.poll() is not None, "most of the training")
    trained = time.monotonic() - begun
    mend()
    assert running.wait() == 0, running.output()
    assert lab.ended() == TRIALS
    print(f"{fault.__name__}: {TRIALS - 1} trials in {trained:.0f} s\n{running.output()}")
    record = lab.start("record", lab.name)
    assert record.wait() == 0, record.output()
    print(record.output())
    assert _steps_of_trials(server.url) == [list(range(1, EPOCHS + 1))] * TRIALS
