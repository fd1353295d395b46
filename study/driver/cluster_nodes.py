"""Waits until the nodes of a Ray cluster have joined it."""

from __future__ import annotations

import socket
import time
from typing import Any

import ray

from study.driver.ray_connection import init_ray
from trainables.core.errors import BadInput

_HEAD_PATIENCE = 180.0
_NODE_PATIENCE = 180.0


def wait_for_nodes(
    address: str, nodes: int, *, head_patience: float = _HEAD_PATIENCE, node_patience: float = _NODE_PATIENCE
) -> int:
    """Join a cluster, wait until a number of nodes has joined it, and return how many have.

    Args:
        address: ``host:port`` of the cluster.
        nodes: how many are expected; fewer are accepted after ``node_patience`` seconds.
        head_patience: seconds that the head gets to answer.
        node_patience: seconds that the others get after the head.

    Raises:
        BadInput: the head does not answer.
    """
    host, _, port = address.rpartition(":")
    end = time.monotonic() + head_patience
    while not _answers(host.strip("[]"), int(port)):
        if time.monotonic() > end:
            raise BadInput(f"Ray's head does not answer at {address} within {head_patience:.0f} s; its log says why")
        time.sleep(0.2)
    init_ray(address)
    end = time.monotonic() + node_patience
    while (joined := _alive()) < nodes and time.monotonic() < end:
        time.sleep(0.2)
    return joined


def _alive() -> int:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return sum(bool(node["Alive"]) for node in nodes)


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True
