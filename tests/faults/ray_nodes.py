"""A Ray cluster of several nodes on this machine, with a token: each node is a machine that can be lost at once."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

import psutil

from tests.servers import free_port, wait_for_port

_REPOSITORY = Path(__file__).parents[2]
_STORE = 80_000_000
"""Bytes of a node's object store, near the least that Ray accepts. Trials pass no data through it."""


class Node:
    """One node: ``ray start --block`` and all that descends from it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def processes(self) -> list[psutil.Process]:
        """Return the node's living processes; one whose parent has died is found by its session."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def ended(self) -> bool:
        """Return True if ``ray start`` has ended."""
        return self._process.poll() is not None

    def kill(self) -> int:
        """Kill raylet, workers and all else with -9, as when a machine is taken away; return how many they were."""
        count = 0
        while family := self.processes():
            count += len(family)
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=5)
        self._process.wait(60)
        return count


class RayNodes:
    """A head on which no trial runs, and nodes of one processor, each with a loopback address of its own.

    Attributes:
        address: of the cluster.
        environment: variables with which a driver joins it.
        nodes: the living nodes, without the head.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        """Start the head.

        Args:
            folder: an empty folder with a short path, as the paths of sockets are limited.
            environment: variables of every node, beside those of this process.
        """
        self._folder, self._addresses = folder, 1
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        self.environment = {
            **environment,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        self.nodes: list[Node] = []
        words = ["--head", f"--port={port}", f"--ray-client-server-port={free_port()}", "--include-dashboard=false"]
        self._head, process = self._start("127.0.0.1", "--num-cpus=0", *words)
        wait_for_port(port, process)

    def add(self) -> Node:
        """Start a node; it joins the cluster some seconds later."""
        self._addresses += 1
        node, _ = self._start(f"127.0.0.{self._addresses}", "--num-cpus=1", f"--address={self.address}")
        self.nodes.append(node)
        return node

    def lose(self, index: int) -> None:
        """Kill a node with all its processes."""
        self.nodes.pop(index).kill()

    def kill_head(self) -> None:
        """Kill the head's service that all others need, and nothing else."""
        next(process for process in self._head.processes() if process.name() == "gcs_server").kill()

    def replace_failed(self) -> None:
        """Start another node in place of each that ended by itself: on a busy machine, Ray gives up after 30 s."""
        for node in [node for node in self.nodes if node.ended()]:
            self.nodes.remove(node)
            node.kill()
            self.add()

    def stop(self) -> None:
        """Kill the nodes and the head."""
        for node in (*self.nodes, self._head):
            node.kill()

    def log(self) -> str:
        """Return what ``ray start`` has said."""
        return (self._folder / "ray.log").read_text()

    def _start(self, ip: str, *words: str) -> tuple[Node, subprocess.Popen[bytes]]:
        ray = Path(sys.executable).with_name("ray")
        command = [str(ray), "start", "--block", f"--node-ip-address={ip}", f"--temp-dir={self._folder}/{ip}"]
        command += ["--include-log-monitor=false", f"--object-store-memory={_STORE}", "--disable-usage-stats", *words]
        with (self._folder / "ray.log").open("a") as log:
            process = subprocess.Popen(
                command,
                cwd=_REPOSITORY,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return Node(process), process
