"""The further workers that train one trial together with the process that Ray Tune starts for it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import ray
import torch
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from torch import distributed as dist

from trainables.core.trial_report import Failed, MachineFault, TrialReport, from_result

_MEETING = timedelta(minutes=5)
"""Longest wait for all workers to join, once all of them have started."""
_GRACE = 5.0
"""Seconds in which the others notice by themselves that one has failed."""


class WorkerLost(RuntimeError):
    """A worker of the trial has died or failed, and the others cannot go on without it."""


class Steps(Protocol):
    """The trainable that each worker holds; it is built from the trial's configuration."""

    def build(self, config: dict[str, Any]) -> Built:
        """Build the next trial."""

    def step(self) -> dict[str, Any]:
        """Run one epoch together with the other workers."""

    def free(self) -> int:
        """Free the trial; return the growth of the process in bytes."""


@dataclass(frozen=True)
class Built:
    """What a worker says of the trial it has built.

    Attributes:
        epoch: finished epochs of the checkpoint that it continues.
        fault: why the machine cannot go on, or nothing.
        failure: why the trial cannot be trained, or nothing.
    """

    epoch: int = 0
    fault: str = ""
    failure: str = ""


class TrialWorker:
    """One further worker, in a Ray process of its own: it does what the first does, and writes nothing."""

    def __init__(self, make: Callable[[], Steps]) -> None:
        self._make = make
        self._steps: Steps | None = None

    def started(self) -> int:
        """Return the process's id, once it runs."""
        return os.getpid()

    def join(self, meeting: str, rank: int, count: int) -> None:
        """Meet the other workers."""
        join(meeting, rank, count)

    def build(self, config: dict[str, Any]) -> Built:
        """Build a trial."""
        if self._steps is None:
            self._steps = self._make()
        return self._steps.build(config)

    def step(self) -> TrialReport | None:
        """Run one epoch; return the report if it says that the trial cannot go on."""
        assert self._steps is not None
        report = from_result(self._steps.step())
        return report if isinstance(report, Failed | MachineFault) else None

    def free(self) -> int:
        """Free the trial."""
        return self._steps.free() if self._steps is not None else 0


class WorkerTeam:
    """The further workers of a process that Ray Tune started, one in each further bundle of its placement group.

    Ray ends them together with that process. A worker that fails ends the others' wait for it, and the team is then
    broken: the process must be replaced before the next trial.

    Args:
        make: makes the trainable of a worker.
        count: workers in all, with this process.

    Attributes:
        broken: True once a worker was lost.
    """

    def __init__(self, make: Callable[[], Steps], count: int) -> None:
        self.broken = False
        self._failures: list[str] = []
        group = ray.util.get_current_placement_group()
        assert group is not None, "Ray Tune starts a trial in a placement group with a bundle per worker"
        actor: Any = ray.remote(TrialWorker)
        self._others: list[Any] = [
            actor.options(**_in_bundle(group, bundle)).remote(make) for bundle in range(1, count)
        ]
        ray.get([other.started.remote() for other in self._others])
        meeting = _meeting()
        joined = [other.join.remote(meeting, rank, count) for rank, other in enumerate(self._others, 1)]
        join(meeting, 0, count)
        ray.get(joined)

    def build(self, config: dict[str, Any], own: Callable[[], Built]) -> Built:
        """Build a trial in all workers, ``own`` in this one; return what stops it in any, or what this one says."""
        built = [other.build.remote({**config, "rank": rank}) for rank, other in enumerate(self._others, 1)]
        first = own()
        for rank, one in enumerate(ray.get(built), 1):
            if one.fault or one.failure:
                return Built(0, *(f"worker {rank}: {said}" if said else "" for said in (one.fault, one.failure)))
            if not (first.fault or first.failure) and one.epoch != first.epoch:
                raise WorkerLost(f"worker {rank} finds the checkpoint of epoch {one.epoch}, not that of {first.epoch}")
        return first

    def step(self, own: Callable[[], TrialReport]) -> TrialReport:
        """Run an epoch in all workers, ``own`` in this one, and return its report.

        Raises:
            WorkerLost: a worker died. One that cannot go on returns its own report instead.
        """
        steps = [other.step.remote() for other in self._others]
        lost: list[TrialReport | Exception] = []
        try:
            with self._watched(steps, lost):
                report = own()
        except Exception as error:
            self._break()
            for cause in lost:
                if not isinstance(cause, Exception):
                    return cause
            raise WorkerLost(f"{lost[0] if lost else error}") from error
        if isinstance(report, Failed):  # alike in all workers if the loss diverged; else the others wait for this one
            if len(ray.wait(steps, num_returns=len(steps), timeout=_GRACE)[0]) < len(steps):
                self._break()
            return report
        try:
            found = ray.get(steps)
        except ray.exceptions.RayError as error:
            self._break()
            raise WorkerLost(_said(error)) from error
        return next((one for one in found if one is not None), report)

    def free(self) -> int:
        """Free the trial in all further workers; return the largest growth of their processes, in bytes."""
        if self.broken:
            return 0
        try:
            return int(max(ray.get([other.free.remote() for other in self._others])))
        except ray.exceptions.RayError:
            self._break()
            return 0

    @contextlib.contextmanager
    def _watched(self, steps: list[Any], lost: list[TrialReport | Exception]) -> Iterator[None]:
        """End the others' connections if one of them fails, so that this process does not wait for it for ever."""
        over = threading.Event()

        def watch() -> None:
            waiting = steps
            while waiting:
                ended, waiting = ray.wait(waiting, num_returns=1)
                try:
                    found = ray.get(ended[0])
                except ray.exceptions.RayError as error:
                    lost.append(RuntimeError(_said(error)))
                    break
                if found is not None:
                    lost.append(found)
                    break
            if lost and not over.wait(_GRACE):
                self._break()

        thread = threading.Thread(target=watch, name="worker-watch", daemon=True)
        thread.start()
        try:
            yield
        except BaseException:
            over.wait(0)
            thread.join(_GRACE)  # who was lost is known a moment after the connection
            raise
        finally:
            over.set()

    def _break(self) -> None:
        self.broken = True
        for other in self._others:
            with contextlib.suppress(Exception):
                ray.kill(other)


def join(meeting: str, rank: int, count: int) -> None:
    """Connect this process with the other workers of its trial."""
    # tensors of the CPU travel by gloo in any case: some decisions are taken there
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, init_method=meeting, rank=rank, world_size=count, timeout=_MEETING)


def _meeting() -> str:
    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as found:
        found.bind(("", 0))
        port = found.getsockname()[1]
    return f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{address}:{port}"


def _in_bundle(group: PlacementGroup, bundle: int) -> dict[str, Any]:
    """Return the options of an actor that takes a whole bundle."""
    resources = dict(group.bundle_specs[bundle])
    return {
        "num_cpus": resources.pop("CPU", 0),
        "num_gpus": resources.pop("GPU", 0),
        "resources": resources,
        "scheduling_strategy": PlacementGroupSchedulingStrategy(group, bundle),
    }


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
