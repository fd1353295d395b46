"""The MLflow server on the records of a storage folder."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from study.records.store import artifact_folder, is_server, tracking_uri
from trainables.errors import BadInput

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    # the server would start processes for jobs on language models, which nothing here has
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def server_command(storage: Path, *, host: str, port: int, workers: int = 1) -> list[str]:
    """Return the command line of a server that shows what is recorded in a storage folder.

    Runs that were recorded without a server keep their artifacts as files, which the server reads where they
    are; those that reach it by HTTP later are put into the same folder.
    """
    uri = tracking_uri(None, storage)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--artifacts-destination", artifact_folder(uri, storage).as_uri()]
    return [*command, "--host", host, "--port", str(port), "--workers", str(workers)]


def serve(storage: Path, *, host: str, port: int, say: Callable[[str], None] = print) -> None:
    """Become the MLflow server; returns only when the records are on a server already.

    Args:
        storage: the folder of all studies.
        host: address to listen on. MLflow answers requests by private addresses and localhost alone; for other
            names set MLFLOW_SERVER_ALLOWED_HOSTS.
        port: port to listen on.
        say: shows a line to the user.

    Raises:
        BadInput: nothing is recorded there yet, or the port is taken.
    """
    uri = tracking_uri(None, storage)
    if is_server(uri):
        say(f"the records are on the server {uri}")
        return
    database = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not database.exists():
        raise BadInput(f"no records in {database.parent} yet: `study run` writes them; see also --storage")
    _check_free(host, port)
    say(f"MLflow starts in some seconds at {address(host, port)}   (Ctrl-C stops it)")
    say("At the first visit choose 'Model training' at the top left: its pages are made for runs like these.")
    sys.stdout.flush()
    command = server_command(storage, host=host, port=port)
    os.execve(command[0], command, {**_SETTINGS, **os.environ})


def address(host: str, port: int) -> str:
    """Return what to type into a browser on this machine.

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
