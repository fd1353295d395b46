"""Description of the machine that a benchmark ran on, as RESULTS.md needs it."""

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
    """Return the processor's name as the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def header(module: str, *packages: str) -> str:
    """Format the command, date, machine and versions of a benchmark.

    Args:
        module: the benchmark, as ``python -m`` takes it.
        packages: distributions whose versions matter to the result.
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
    """Measures the share of the machine used by processes other than this one and its children."""

    def __init__(self) -> None:
        """Start measuring now."""
        self._before = self._now()

    def share(self) -> float:
        """Return the share others used since the last call, from 0 to 1, and restart the measurement."""
        now = self._now()
        wall, busy, own = (after - before for after, before in zip(now, self._before, strict=True))
        self._before = now
        return max(0.0, busy - own) / (wall * (psutil.cpu_count() or 1))

    def _now(self) -> tuple[float, float, float]:
        times = psutil.cpu_times()._asdict()
        # the kernel already counts guest time as user time
        idle = ("idle", "iowait", "guest", "guest_nice")
        busy = sum(seconds for kind, seconds in times.items() if kind not in idle)
        children = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
        own = time.process_time() + sum(child.user + child.system for child in children)
        return time.perf_counter(), busy, own
