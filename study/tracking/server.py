"""Runs the MLflow server on the records of a storage folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any
from urllib.request import urlopen

import psutil

from study.tracking.client import artifact_folder, is_server, sqlite_artifacts, tracking_uri, with_password
from study.tracking.saved_views import CELLS_VIEW, CONFIRMED_VIEW, STUDY_VIEW, TRIALS_VIEW, view_path
from study.tracking.sqlite import check_database, find_experiment, follow_artifacts
from trainables.core.errors import BadInput
from trainables.core.storage_path import StoragePath

_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # the server would start processes for language-model jobs, which this project does not use
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
_ALLOWED_HOSTS = "MLFLOW_SERVER_ALLOWED_HOSTS"
_SECONDS_TO_STOP = 10
_SECONDS_TO_START = 300
_LAST_LINES = 15


def server_command(storage: StoragePath, *, host: str, port: int, workers: int = 1) -> list[str]:
    """Return the command line of a server for the records of a storage folder.

    Runs recorded without a server store their artifacts as files, which the server reads in place. Artifacts that
    arrive over HTTP later go to the same folder.
    """
    uri = tracking_uri(None, storage)
    command = [sys.executable, "-m", "mlflow", "server"]
    if with_password(uri) == uri:  # else in the environment: everyone sees the command lines of a machine
        command += ["--backend-store-uri", uri]
    if not os.environ.get(_ALLOWED_HOSTS):
        command += ["--allowed-hosts", ",".join(allowed_hosts(host))]
    command += ["--artifacts-destination", artifact_folder(uri, storage).as_uri()]
    command += ["--uvicorn-opts", "--log-level warning --no-access-log"]
    return [*command, "--host", host, "--port", str(port), "--workers", str(workers)]


def allowed_hosts(host: str) -> list[str]:
    """Return the values of the ``Host`` header that a server on this address answers.

    MLflow's own default admits every name that begins like a private address, such as ``10.0.0.1.evil.example``. A web
    page of that name could read the records through the browser of whoever opens it.

    >>> allowed_hosts("127.0.0.1")
    ['localhost', 'localhost:*', '127.0.0.1', '127.0.0.1:*', '[::1]', '[::1]:*']
    >>> allowed_hosts("10.0.0.1")
    ['10.0.0.1', '10.0.0.1:*']
    """
    own = ["localhost", "127.0.0.1", "::1"]
    if host in ("0.0.0.0", "::"):
        found = [entry.address for entries in psutil.net_if_addrs().values() for entry in entries if _is_ip(entry)]
        names = [*own, socket.gethostname().lower(), socket.getfqdn().lower(), *found]
    else:
        names = own if host in (*own, "") else [host.lower()]
    written = [f"[{name}]" if ":" in name else name for name in dict.fromkeys(names)]
    return [form for name in written for form in (name, f"{name}:*")]


def _is_ip(entry: Any) -> bool:
    return entry.family in (socket.AF_INET, socket.AF_INET6) and "%" not in entry.address


def serve(
    storage: StoragePath,
    *,
    host: str,
    port: int,
    study: str | None = None,
    say: Callable[[str], None] = print,
    show: Callable[[str], object] | None = None,
) -> None:
    """Run the MLflow server until it is interrupted; return at once if the records are already on a server.

    Args:
        storage: the folder of all studies.
        host: address to listen on. Only requests for this host are answered (`allowed_hosts`);
            MLFLOW_SERVER_ALLOWED_HOSTS names others.
        port: port to listen on.
        study: the study whose pages are named; None takes the newest.
        say: prints a line to the user.
        show: opens a page in a browser once the server answers; None opens nothing.

    Raises:
        BadInput: the storage has no records yet or none of the study, the records are damaged, the port is taken, or
            the server failed.
    """
    uri = tracking_uri(None, storage)
    if is_server(uri):
        say(f"the records are on the server {uri}")
        return
    pages = {"all studies": ""}
    if uri.startswith("sqlite:///"):
        pages = _landing(Path(uri.removeprefix("sqlite:///")), sqlite_artifacts(uri), study)
    _check_free(host, port)
    say("MLflow is starting, which may take a minute; Ctrl-C stops it")
    width = max(map(len, pages))
    links = [f"{address(host, port)}{path}" for path in pages.values()]
    for what, link in zip(pages, links, strict=True):
        say(f"  {what:<{width}}  {link}")
    sys.stdout.flush()
    threading.Thread(target=_show_when_up, args=(links, say, show), daemon=True).start()
    full = with_password(uri)
    settings = {} if full == uri else {"MLFLOW_BACKEND_STORE_URI": full}
    _run(server_command(storage, host=host, port=port), settings)


def _landing(database: Path, artifacts: Path, study: str | None) -> dict[str, str]:
    """Prepare the database; return title -> path of the two pages of a study, and of its run over all ratios."""
    if not database.exists():
        raise BadInput(f"no records in {database.parent} yet: `study run` writes them; see also --storage")
    check_database(database)
    follow_artifacts(database, artifacts)
    found = find_experiment(database, study)
    if found is None and study is not None:
        raise BadInput(f"no records of study '{study}' in {database}; `study record {study}` writes them")
    if found is None:
        return {"all studies": ""}
    views = {view: title for view, title in _PAGES.items() if view in found.views}
    if not views:  # recorded by an older version
        path = f"/#/experiments/{found.id}/runs?workflowType=machine_learning"
        return {f"runs of {found.name} (`study record {found.name}` adds views)": path}
    shown = [view for place, view in enumerate(views) if place < 2 or view == STUDY_VIEW]
    return {f"{found.name}: {views[view]}": view_path(found.id, view) for view in shown}


_PAGES = {
    CELLS_VIEW: "cells, best value by method and ratio",
    CONFIRMED_VIEW: "confirmed trials by method, on test images",
    TRIALS_VIEW: "trials of the search, on validation images",
    STUDY_VIEW: "whole study, expected value by ratio",
}
"""View -> title, in the order of preference: the first two that an experiment has are shown, and the last."""


def _show_when_up(links: Sequence[str], say: Callable[[str], None], show: Callable[[str], object] | None) -> None:
    """Say when the server answers, and open the pages; give up when it does not start."""
    end = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < end:
        with suppress(OSError), urlopen(links[0].partition("/#")[0] + "/health", timeout=5):
            break
        time.sleep(0.5)
    else:
        return
    say("MLflow answers")
    sys.stdout.flush()
    if show is not None:
        for link in links:
            show(link)


def _run(command: list[str], settings: Mapping[str, str]) -> None:
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
                command, env={**_SETTINGS, **os.environ, **settings}, stdout=log, stderr=log, start_new_session=True
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
