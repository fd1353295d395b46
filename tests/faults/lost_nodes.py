"""A study on a cluster that loses a node every few seconds: what became of its trials.

Ledger and MLflow's store are in PostgreSQL, files on an S3 server, records on an MLflow server with users; all are
started here, on loopback. ``python -m tests.faults.lost_nodes --trials 200 --every 20`` prints the figures of
docs/faults.md; ``--restart`` also kills PostgreSQL and the S3 server in the middle and starts them again.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from study.spec.yaml_io import write_yaml
from study.store.study_folder import StudyFolder
from study.store.study_view import open_view
from tests.faults.ray_nodes import RayNodes
from tests.servers import FolderS3Server, PostgresServer, free_port, has_folder_s3, lacks_postgres, wait_for_port
from trainables.core import object_path
from trainables.core.object_path import ObjectPath
from trainables.core.trial_folder import TrialFolder

NAME = "nodes"
EPOCHS = 2
OUTAGE = 10.0
"""Seconds for which PostgreSQL and S3 are away."""
_START = 300.0
"""Seconds that the cluster gets until the first trial has ended; no node is lost before."""
_REPOSITORY = Path(__file__).parents[2]


def missing() -> list[str]:
    """Return what this machine lacks, as one would install it."""
    needed = {
        "PostgreSQL (Debian: postgresql)": lacks_postgres() is None,
        "s3rver (npm install -g s3rver)": has_folder_s3(),
        "Flask-WTF (MLflow's users)": importlib.util.find_spec("flask_wtf") is not None,
    }
    return [name for name, here in needed.items() if not here]


def mapping(trials: int, ledger: str, tracking: str) -> dict[str, Any]:
    """Return the study: digits, two methods, a fraction of a second of training a trial."""
    return {
        "name": NAME,
        "data": [{"dataset": "digits", "validation_fraction": 0.2, "profiles": [{"ratio": 20}]}],
        "methods": ["erm", "cce"],
        "model": "mlp",
        "training": {
            "epochs": EPOCHS,
            "batch_size": 64,
            "lr": 0.05,
            "checkpoint_seconds": 0,
            "precision": "float32",
        },
        "search": {
            "trials": trials // 2,
            "searcher": "random",
            "pruner": "none",
            "concurrency": 4,
            "training": {"lr": {"low": 0.01, "high": 0.1, "scale": "log"}},
        },
        "artifacts": {"embedding": "none", "mistakes": "none"},
        "records": {"ledger": ledger, "tracking_uri": tracking},
    }


@dataclass(frozen=True)
class Figures:
    """What became of the study.

    Attributes:
        trials: that it asks for.
        kills: nodes that were lost.
        lost: trials that are not complete with every epoch.
        doubled: further trials, or further runs in MLflow, of those asked for.
        epochs: finished epochs, each counted once.
        repeated: further epochs, trained again after a death.
        runs: finished runs in MLflow.
        recorded_later: of them, those that `study record` wrote after the study's end.
        not_counted: deaths of trials that were not counted against `resources.retries`.
        counted: those that were.
        resumes: how often `study resume` was needed.
        seconds: from the start of the driver to its end.
    """

    trials: int
    kills: int
    lost: int
    doubled: int
    epochs: int
    repeated: int
    runs: int
    recorded_later: int
    not_counted: int
    counted: int
    resumes: int
    seconds: int


class UsersMlflow:
    """An MLflow server with users, its store and its users in PostgreSQL."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        import psycopg

        with psycopg.connect(postgres.url.replace("+psycopg", ""), autocommit=True) as connection:
            for database in ("mlflow", "mlflow_users"):
                connection.execute(f"CREATE DATABASE {database}".encode())
        server = postgres.url.rpartition("/")[0]
        self._folder, self._port = folder, free_port()
        folder.mkdir(parents=True)
        password = secrets.token_urlsafe(16)
        lines = ["[mlflow]", "default_permission = READ", f"database_uri = {server}/mlflow_users"]
        lines += ["admin_username = admin", f"admin_password = {password}"]
        lines += ["authorization_function = mlflow.server.auth:authenticate_request_basic_auth"]
        (folder / "users.ini").write_text("\n".join(lines) + "\n")
        self.url = f"http://127.0.0.1:{self._port}"
        self.login = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": password}
        environment = {
            **os.environ,
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "users.ini"),
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self._port), "--backend-store-uri", f"{server}/mlflow"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True, cwd=folder
            )
        wait_for_port(self._port, self._process, 240)

    def stop(self) -> None:
        """Kill the server and its workers."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Trouble:
    """The cluster, the servers and the driver, and what is done to them."""

    def __init__(self, folder: Path, *, trials: int, seed: int) -> None:
        """Start all but the driver in an empty folder with a short path."""
        self._folder, self._trials, self._random = folder, trials, random.Random(seed)
        self._stack = contextlib.ExitStack()
        try:
            postgres_folder = Path(tempfile.mkdtemp(prefix="pg-"))
            postgres_folder.chmod(0o755)  # root makes it, another user runs the server
            self._stack.callback(shutil.rmtree, postgres_folder, ignore_errors=True)
            self._postgres = PostgresServer(postgres_folder / "server")
            self._stack.callback(self._postgres.stop)
            self._s3 = FolderS3Server(folder / "s3")
            self._stack.callback(self._s3.stop)
            self._mlflow = UsersMlflow(folder / "mlflow", self._postgres)
            self._stack.callback(self._mlflow.stop)
            self.cluster = RayNodes(folder, {**self._s3.environment, "OMP_NUM_THREADS": "1"})
            self._stack.callback(self.cluster.stop)
            for _ in range(4):
                self.cluster.add()
        except BaseException:
            self.stop()
            raise
        self._storage = "s3://runs/studies"
        self._environment = {**self.cluster.environment, **self._mlflow.login}
        self.output = ""

    def stop(self) -> None:
        """End everything."""
        self._stack.close()

    def run(self, *, every: float, restart: bool, limit: float) -> Figures:
        """Drive the study to its end while nodes are lost.

        Args:
            every: seconds between two losses.
            restart: kill PostgreSQL and the S3 server once, after half of the trials, and start them again.
            limit: seconds after which the study is given up.
        """
        path = self._folder / "study.yaml"
        path.write_text(write_yaml(mapping(self._trials, self._postgres.url, self._mlflow.url)))
        begun, kills, resumes = time.monotonic(), 0, 0
        driver = self._driver("run", str(path))
        next_loss, away = 0.0, restart
        while time.monotonic() - begun < limit:
            time.sleep(0.2)
            if driver.poll() is not None:
                if driver.returncode == 0 or resumes == 3:
                    break
                resumes += 1
                driver = self._driver("resume", NAME)
            self.cluster.replace_failed()
            done = self._done()
            if not done and time.monotonic() - begun < _START:
                continue
            next_loss = next_loss or time.monotonic() + every / 2
            if time.monotonic() >= next_loss:
                next_loss = time.monotonic() + every
                self.cluster.lose(self._random.randrange(len(self.cluster.nodes)))
                self.cluster.add()
                kills += 1
            if away and done >= self._trials // 2:
                away = False
                self._interrupt_services()
        seconds = int(time.monotonic() - begun)
        if driver.poll() is None:
            driver.kill()
            driver.wait()
        return self._figures(kills, resumes, seconds)

    def _interrupt_services(self) -> None:
        self._s3.kill()
        self._postgres.stop()
        time.sleep(OUTAGE)
        self._postgres.start()
        self._s3.start()

    def _driver(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "study.cli.app", *words, "--storage", self._storage]
        with (self._folder / "output.txt").open("a") as log:
            return subprocess.Popen(
                [*command, "--address", self.cluster.address],
                cwd=_REPOSITORY,
                env={**os.environ, **self._environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _done(self) -> int:
        self.output = (self._folder / "output.txt").read_text()
        said = re.findall(r"^(\d+)/\d+ trials", self.output, flags=re.MULTILINE)
        return int(said[-1]) if said else 0

    def _figures(self, kills: int, resumes: int, seconds: int) -> Figures:
        object_path._file_system.cache_clear()  # a test before may have had another server
        try:
            with mock.patch.dict(os.environ, self._environment):  # a later test would start Ray with this token
                return self._figures_there(kills, resumes, seconds)
        finally:
            object_path._file_system.cache_clear()

    def _figures_there(self, kills: int, resumes: int, seconds: int) -> Figures:
        self._done()
        before = self._runs()
        recorded = subprocess.run(
            [sys.executable, "-m", "study.cli.app", "record", NAME, "--storage", self._storage],
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
        )
        self.output += recorded.stdout + recorded.stderr
        runs = self._runs()
        view = open_view(StudyFolder(ObjectPath.parsed(self._storage), NAME))
        trials = [trial for cell in view.cells for trial in cell.all_trials]
        whole = epochs = written = 0
        for trial in trials:
            attempts = TrialFolder(trial.folder).attempts()
            numbers = {result["epoch"] for attempt in attempts for result in attempt}
            whole += trial.state == "COMPLETE" and numbers == set(range(1, EPOCHS + 1))
            epochs += len(numbers)
            written += sum(map(len, attempts))
        keys = {trial.key for trial in trials}
        return Figures(
            trials=self._trials,
            kills=kills,
            lost=self._trials - whole,
            doubled=max(0, len(trials) - self._trials) + len(runs) - len(set(runs)) + len(set(runs) - keys),
            epochs=epochs,
            repeated=written - epochs,
            runs=len(set(runs)),
            recorded_later=len(set(runs) - set(before)),
            not_counted=self._said(r"(\d+) not counted"),
            counted=self._said(r"(\d+) counted against"),
            resumes=resumes,
            seconds=seconds,
        )

    def _said(self, pattern: str) -> int:
        return sum(map(int, re.findall(pattern, self.output)))

    def _runs(self) -> list[str]:
        """Return the trials of all finished runs."""
        from mlflow import MlflowClient

        client = MlflowClient(self._mlflow.url)
        experiment = client.get_experiment_by_name(NAME)
        assert experiment is not None, self.output
        runs = client.search_runs([experiment.experiment_id], max_results=10_000)
        return [
            run.data.tags["study.trial"]
            for run in runs
            if "study.trial" in run.data.tags and run.info.status == "FINISHED"
        ]


def measure(*, trials: int, every: float, restart: bool, seed: int = 0, limit: float = 1500.0) -> tuple[Figures, str]:
    """Return the figures of one study, and what its driver said."""
    folder = Path(tempfile.mkdtemp(prefix="n-", dir="/tmp"))
    try:
        trouble = Trouble(folder, trials=trials, seed=seed)
        try:
            return trouble.run(every=every, restart=restart, limit=limit), trouble.output
        finally:
            trouble.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Print the figures of one study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two lost nodes")
    parser.add_argument("--restart", action="store_true", help="kill PostgreSQL and the S3 server once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=1500.0, help="seconds after which it is given up")
    options = parser.parse_args()
    if lacking := missing():
        raise SystemExit(f"not here: {', '.join(lacking)}")
    figures, output = measure(**vars(options))
    print(output)
    for name, value in asdict(figures).items():
        print(f"{name:16} {value}")


if __name__ == "__main__":
    main()
