"""Measure recording into an MLflow server on SQLite: metric values a second, and milliseconds that the driver is held.

``python -m benchmarks.recording --trials 20 --epochs 60`` starts an MLflow server, and records trials of made numbers
into it three ways: the study's recorder, MLflow's plain client with a request per value, as its documentation shows,
and Ray's `MLflowLoggerCallback`. The driver is held while a report is handed over; the recorder hands it to a thread.
Reports of all trials arrive as fast as they can be handed over, so the recorder's rate is what it sustains. Its time
includes the trials' tables, pictures and tags. Imports precede the measurement.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import numpy as np
import psutil

from benchmarks.machine import Neighbours, header
from study.ledger.cell_ledger import Assignment
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.tracking import Recorder
from study.tracking.client import open_client
from study.tracking.server import server_command
from trainables.core.metrics import from_confusion, recall_per_class
from trainables.core.trial_folder import CLASS_RECALL, EpochResult, TrialFolder

_CLASSES = 10
_COUNTS = [max(1, int(300 / 10 ** (k / (_CLASSES - 1)))) for k in range(_CLASSES)]


class Recording(NamedTuple):
    """One way of recording: values stored, seconds until all were, and milliseconds held at each report."""

    values: int
    seconds: float
    held: list[float]

    def said(self) -> str:
        """Return the figures as cells of a table."""
        rate, middle, most = self.values / self.seconds, statistics.median(self.held), max(self.held)
        slow = sorted(self.held)[int(0.99 * len(self.held))]
        return f"{self.values} | {self.seconds:.1f} | {rate:,.0f} | {middle:.3f} | {slow:.2f} | {most:.1f}"


def main() -> None:
    """Run the three ways one after the other against one server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--plain-epochs", type=int, default=3, help="epochs of the two slow ways, one trial each")
    given = parser.parse_args()
    print(header("benchmarks.recording", "mlflow", "ray"), flush=True)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as scratch:
        uri, server = _serve(Path(scratch) / "server")
        try:
            neighbours = Neighbours()
            print("| | values | s | values a second | ms held, median | 99 % | most | processor s |")
            recorder(uri, Path(scratch) / "runs", 8, 2, "warm-up")  # imports what pictures and importance need
            ways: dict[str, Callable[[], Recording]] = {
                "recorder": lambda: recorder(uri, Path(scratch) / "runs", given.trials, given.epochs),
                "plain client": lambda: plain_client(uri, given.plain_epochs),
                "Ray's callback": lambda: ray_callback(uri, given.plain_epochs),
            }
            for name, way in ways.items():
                before = _processor_seconds(server)
                found = way()
                used = _processor_seconds(server) - before
                print(f"| {name} | {found.said()} | {used:.1f} |", flush=True)
            print(f"other processes used {neighbours.share():.0%} of the machine")
        finally:
            server.terminate()
            server.wait()


def _serve(folder: Path) -> tuple[str, subprocess.Popen[bytes]]:
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"} | settings
    log = (folder / "log").open("wb")
    command = server_command(folder, host="127.0.0.1", port=port)
    server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 300
    while True:
        try:
            with urlopen(f"{url}/health", timeout=5):
                return url, server
        except OSError:
            if time.monotonic() > end or server.poll() is not None:
                raise RuntimeError((folder / "log").read_text()) from None
            time.sleep(0.5)


def _processor_seconds(server: subprocess.Popen[bytes]) -> float:
    """Return what this process and the server's have used, which depends less on the machine's load than time does.

    It includes the count of the stored values after the clock has stopped.
    """
    process = psutil.Process(server.pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return time.process_time() + float(sum(found.user + found.system for found in times))


def _epoch(epoch: int, rng: np.random.Generator) -> EpochResult:
    confusion = rng.integers(0, 9, (_CLASSES, _CLASSES)) + np.diag(rng.integers(10, 60, _CLASSES))
    return {
        "epoch": epoch,
        "stage": "all",
        "train_loss": 2.0 / epoch,
        "loss": 2.5 / epoch,
        **from_confusion(confusion, _COUNTS),
        "learning_rate": 0.05,
        "images_per_second": 1e4,
        CLASS_RECALL: recall_per_class(confusion).tolist(),
        "confusion": confusion.tolist(),
    }


def recorder(uri: str, storage: Path, trials: int, epochs: int, name: str = "recording") -> Recording:
    """Record trials by the study's recorder; their folders and ledger are written before the clock starts."""
    spec = StudySpec.model_validate(
        {
            "name": name,
            "data": [{"dataset": "digits", "profiles": [{"kind": "long_tail", "ratio": 10}]}],
            "methods": ["cce"],
            "model": "mlp",
            "training": {"epochs": epochs, "batch_size": 32, "lr": 0.05},
            "search": {"trials": trials, "pruner": "none"},
            "records": {"tracking_uri": uri},
        }
    )
    folder, cells = StudyFolder(storage, spec.name), expand(spec)
    with folder.driver_lock():
        folder.create(spec, {})
    ledger = Ledger(spec, cells, open_storage(folder.path, None))
    open_client(uri, storage).search_experiments()  # imported before the clock
    watch = Recorder(storage, spec, ledger, warn=print)
    made = [_write_trial(ledger, folder) for _ in range(trials)]
    held: list[float] = []
    began = time.perf_counter()
    for _ in range(epochs):
        for trial in made:
            at = time.perf_counter()
            watch.touch(trial, ended=False)
            held.append(1000 * (time.perf_counter() - at))
    for trial in made:
        watch.touch(trial, ended=True)
    left = watch.close(timeout=600)
    seconds = time.perf_counter() - began
    assert not left, left
    return Recording(_stored(uri, spec.name), seconds, held)


def _write_trial(ledger: Ledger, folder: StudyFolder) -> Assignment:
    trial = next(iter(ledger.cells.values())).ask()
    files, rng = TrialFolder(folder.path / "cells" / trial.key), np.random.default_rng(trial.number)
    environment = {"code": "made", "device": "cpu", "precision": "float32"}
    config = {"trial": trial.config.model_dump(mode="json"), "data_fingerprint": "f", "environment": environment}
    files.write_config(config)
    for epoch in range(1, ledger.study.training.epochs + 1):
        found = _epoch(epoch, rng)
        confusion = found.pop("confusion")
        files.append_epoch(found)
    names = [f"class {k}" for k in range(_CLASSES)]
    by_class = {"recall": found[CLASS_RECALL], "confusion": confusion, "class_counts": _COUNTS, "class_names": names}
    files.write_evaluation({"epoch": epoch, **by_class})
    ledger.of(trial).report(trial.number, epoch, found["balanced_accuracy"])
    ledger.of(trial).complete(trial.number, found["balanced_accuracy"])
    return trial


def plain_client(uri: str, epochs: int) -> Recording:
    """Record one trial by `MlflowClient.log_metric`, a request per value."""
    from mlflow import MlflowClient

    client, rng, held = MlflowClient(tracking_uri=uri), np.random.default_rng(0), list[float]()
    run = client.create_run(client.create_experiment("plain")).info.run_id
    began = time.perf_counter()
    for epoch in range(1, epochs + 1):
        at = time.perf_counter()
        for name, value in _scalars(_epoch(epoch, rng)).items():
            client.log_metric(run, name, value, step=epoch)
        held.append(1000 * (time.perf_counter() - at))
    client.set_terminated(run)
    return Recording(_stored(uri, "plain"), time.perf_counter() - began, held)


def ray_callback(uri: str, epochs: int) -> Recording:
    """Record one trial by Ray's callback, called as Tune calls it: the driver waits for it at every result."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    callback = MLflowLoggerCallback(tracking_uri=uri, experiment_name="callback")
    callback.setup()  # type: ignore[no-untyped-call]
    trial: Any = _NamedTrial()
    rng, held = np.random.default_rng(0), list[float]()
    began = time.perf_counter()
    callback.log_trial_start(trial)
    for epoch in range(1, epochs + 1):
        result = {**_scalars(_epoch(epoch, rng)), "training_iteration": epoch}
        at = time.perf_counter()
        callback.log_trial_result(epoch, trial, result)
        held.append(1000 * (time.perf_counter() - at))
    callback.log_trial_end(trial)
    return Recording(_stored(uri, "callback"), time.perf_counter() - began, held)


class _NamedTrial:
    """As much of a Tune trial as the callback reads; equal only to itself."""

    config: dict[str, Any] = {}  # noqa: RUF012
    trial_id = "one"

    def __str__(self) -> str:
        return "one"


def _scalars(found: EpochResult) -> dict[str, float]:
    numbers = {k: float(v) for k, v in found.items() if isinstance(v, int | float) and np.isfinite(v) and k != "epoch"}
    return numbers | {f"recall/{k}": value for k, value in enumerate(found[CLASS_RECALL])}


def _stored(uri: str, experiment: str) -> int:
    """Return the number of metric values in an experiment."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    place = client.get_experiment_by_name(experiment)
    assert place is not None, experiment
    runs = client.search_runs([place.experiment_id], max_results=1000)
    return sum(len(client.get_metric_history(run.info.run_id, key)) for run in runs for key in run.data.metrics)


if __name__ == "__main__":
    main()
