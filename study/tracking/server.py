"""Runs the MLflow server on the records of a storage folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO

from study.tracking.client import artifact_folder, is_server, tracking_uri
from study.tracking.sqlite import check_database, follow_artifacts, newest_experiment
from trainables.core.errors import BadInput

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # the server would start processes for language-model jobs, which this project does not use
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
_SECONDS_TO_STOP = 10
_LAST_LINES = 15


def server_command(storage: Path, *, host: str, port: int, workers: int = 1) -> list[str]:
    """Return the command line of a server for the records of a storage folder.

    Runs recorded without a server store their artifacts as files, which the server reads in place. Artifacts that
    arrive over HTTP later go to the same folder.
    """
    uri = tracking_uri(None, storage)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--artifacts-destination", artifact_folder(uri, storage).as_uri()]
    command += ["--uvicorn-opts", "--log-level warning --no-access-log"]
    return [*command, "--host", host, "--port", str(port), "--workers", str(workers)]


def serve(storage: Path, *, host: str, port: int, say: Callable[[str], None] = print) -> None:
    """Run the MLflow server until it is interrupted; return at once if the records are already on a server.

    Args:
        storage: the folder of all studies.
        host: address to listen on. MLflow only answers requests for localhost and private addresses; allow
            other names with MLFLOW_SERVER_ALLOWED_HOSTS.
        port: port to listen on.
        say: prints a line to the user.

    Raises:
        BadInput: the storage has no records yet, the records are damaged, the port is taken, or the server failed.
    """
    uri = tracking_uri(None, storage)
    if is_server(uri):
        say(f"the records are on the server {uri}")
        return
    page = address(host, port)
    if uri.startswith("sqlite:///"):
        page += _landing(Path(uri.removeprefix("sqlite:///")), artifact_folder(uri, storage))
    _check_free(host, port)
    say(f"MLflow opens in some seconds at {page}   (Ctrl-C stops it)")
    sys.stdout.flush()
    _run(server_command(storage, host=host, port=port))


def _landing(database: Path, artifacts: Path) -> str:
    """Prepare the database and return the path of its newest study's page."""
    if not database.exists():
        raise BadInput(f"no records in {database.parent} yet: `study run` writes them; see also --storage")
    check_database(database)
    follow_artifacts(database, artifacts)
    experiment = newest_experiment(database)
    # without workflowType, MLflow first shows its pages for language models
    return "" if experiment is None else f"/#/experiments/{experiment}/runs?workflowType=machine_learning"


def _run(command: list[str]) -> None:
    """Run the server silently until it ends or this process receives a signal."""
    server: subprocess.Popen[bytes] | None = None
    told: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        told.append(number)
        if server is not None:  # raising while it starts would lose the process
            raise KeyboardInterrupt

    with tempfile.TemporaryFile() as log:
        # Installed before the server starts, so that an early signal cannot leave it running. SIGINT is included:
        # a shell starts background jobs with SIGINT ignored, and nothing would end the server.
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            # a new session: MLflow starts the server as a child and does not always end it
            server = subprocess.Popen(
                command, env={**_SETTINGS, **os.environ}, stdout=log, stderr=log, start_new_session=True
            )
            if told:
                return
            code = server.wait()
        except KeyboardInterrupt:
            return
        finally:
            if server is not None:
                _stop(server)
            for number, handler in before.items():
                signal.signal(number, handler)
        raise BadInput(f"the MLflow server ended by itself with code {code}:\n{_end_of(log)}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(_SECONDS_TO_STOP)


def _end_of(log: IO[bytes]) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").splitlines()[-_LAST_LINES:])


def address(host: str, port: int) -> str:
    """Return the server's URL for a browser on this machine.

    >>> address("0.0.0.0", 5000), address("::1", 5000)
    ('http://127.0.0.1:5000', 'http://[::1]:5000')
    """
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _check_free(host: str, port: int) -> None:
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise BadInput(f"cannot listen on {host}:{port}: {error.strerror or error}; see --port") from None
