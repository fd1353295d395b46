"""What a random kill may strike: a process of a running study, or its process group."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from random import Random

import psutil

from tests.faults.fault_lab import Running, title

TREE = "driver, Ray and workers at once, -9"
GROUP = "SIGTERM to the process group"
DRIVER = "driver, -9"
WORKER = "the process of a trial, -9"
KEEPER = "keeper of Ray, -9"
SERVICES = {"raylet, -9": "raylet", "gcs_server, -9": "gcs_server"}

KINDS = (DRIVER, TREE, WORKER, *SERVICES, KEEPER, GROUP)

ENDS_DRIVER = (DRIVER, TREE, GROUP)
"""Victims after which a user has to resume; after the others the study goes on by itself."""


def strikes(running: Running) -> dict[str, Callable[[], list[psutil.Process]]]:
    """Return what can be struck now: kind of victim -> the stroke, which returns the processes that must be gone."""
    family = running.family()
    workers = running.workers(family)
    found: dict[str, Callable[[], list[psutil.Process]]] = {}
    if running.process.poll() is None:
        found[DRIVER] = lambda: _kill([psutil.Process(running.process.pid)], family)
        found[TREE] = lambda: _everything(running, family)
        found[GROUP] = lambda: _terminate_group(running, family)
    if workers:
        found[WORKER] = lambda: _kill([Random().choice(workers)], [])
    for kind, name in SERVICES.items():
        if services := [process for process in family if _name(process) == name]:
            found[kind] = lambda services=services: _kill(services[:1], [*workers, *services])  # type: ignore[misc]
    if keepers := [process for process in family if "study.driver.ray_keeper" in title(process)]:
        found[KEEPER] = lambda: _kill(keepers[:1], _without_driver(running, family))
    return found


def _without_driver(running: Running, family: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in family if process.pid != running.process.pid]


def _kill(processes: list[psutil.Process], gone: list[psutil.Process]) -> list[psutil.Process]:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return [*processes, *gone]


def _everything(running: Running, family: list[psutil.Process]) -> list[psutil.Process]:
    running.kill_everything()
    return family


def _terminate_group(running: Running, family: list[psutil.Process]) -> list[psutil.Process]:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.process.pid, signal.SIGTERM)
    return family


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return str(process.name())
    return ""
