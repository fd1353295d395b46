"""The machine that figures were taken on, in the words that RESULTS.md needs."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psutil


def processor() -> str:
    """Return the processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def header(module: str, *packages: str) -> str:
    """Say what is run, when and on what.

    Args:
        module: the benchmark, as ``python -m`` takes it.
        packages: distributions whose versions matter to it.
    """
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        f"command: python -m {module} {shlex.join(sys.argv[1:])}\n"
        f"date:    {date.today().isoformat()}\n"
        f"machine: {cores()} cores, {processor()}, load before the start {load}\n"
        f"with:    Python {platform.python_version()}, {versions}"
    )


class Neighbours:
    """Tells which share of the machine processes other than this one and its children took."""

    def __init__(self) -> None:
        """Start at this moment."""
        self._before = self._now()

    def share(self) -> float:
        """Return what others took since the last call, from 0 to 1, and start anew."""
        now = self._now()
        wall, busy, own = (after - before for after, before in zip(now, self._before, strict=True))
        self._before = now
        return max(0.0, busy - own) / (wall * (psutil.cpu_count() or 1))

    def _now(self) -> tuple[float, float, float]:
        times = psutil.cpu_times()._asdict()
        # the kernel counts a guest's time as user's already
        idle = ("idle", "iowait", "guest", "guest_nice")
        busy = sum(seconds for kind, seconds in times.items() if kind not in idle)
        children = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
        own = time.process_time() + sum(child.user + child.system for child in children)
        return time.perf_counter(), busy, own
