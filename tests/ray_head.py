"""A real head of a Ray cluster with a token, that shares no port, folder or process with any other on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil


def free_ports(number: int) -> list[int]:
    """Return ports that nothing listens on now."""
    sockets = [socket.socket() for _ in range(number)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass(frozen=True)
class Head:
    """A running head of a cluster: its job server, its own address for drivers, and its token."""

    address: str
    cluster: str
    token: str


@contextmanager
def running_head(bin_folder: Path, **environment: str) -> Iterator[Head]:
    """Start a one-node cluster that shares no port, folder or process with any other on this machine."""
    # Ray puts sockets in there, and the path of a socket must be short.
    folder = Path(tempfile.mkdtemp(prefix="study-ray-", dir="/tmp"))
    secret = "a-token-for-this-test-alone-0123456789"
    (folder / "token").write_text(secret)
    gcs, dashboard, *others = free_ports(9)
    options = ["metrics-export-port", "ray-client-server-port", "dashboard-agent-listen-port"]
    options += [
        "dashboard-agent-grpc-port",
        "runtime-env-agent-port",
        "node-manager-port",
        "object-manager-port",
    ]
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block"),
        *("--node-ip-address=127.0.0.1", f"--port={gcs}", "--num-cpus=1", f"--temp-dir={folder / 'ray'}"),
        *("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"),
        *(f"--{option}={port}" for option, port in zip(options, others, strict=True)),
    ]
    own = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with (folder / "log").open("w") as log:
        started = subprocess.Popen(
            command, env=inherited | own | environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_for(dashboard, started, folder / "log")
        yield Head(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{gcs}", secret)
    finally:
        _end(started, folder)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(port: int, started: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while started.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"the head did not start:\n{log.read_text()}")


def _end(started: subprocess.Popen[bytes], folder: Path) -> None:
    """Stop the head and its descendants, and nothing else on this machine."""
    own = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
    started.terminate()
    try:
        started.wait(timeout=20)
    except subprocess.TimeoutExpired:
        started.kill()
    for process in [*own, *psutil.process_iter()]:
        try:
            if process in own or str(folder) in " ".join(process.cmdline()):
                process.kill()
        except psutil.NoSuchProcess:
            pass
