"""Samples of a driver's memory, open files and threads while its trials end, and how they grow with the trials."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np
import psutil

_EVERY = 1.0


class Sample(NamedTuple):
    """The state of a process: seconds since the start, ended trials, MB of its own memory, open files, threads.

    Its own memory is its anonymous one (RssAnon), without the libraries that it maps as its workers do.
    """

    seconds: float
    ended: int
    megabytes: float
    files: int
    threads: int


def own_megabytes() -> float:
    """Return the anonymous memory of this process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("RssAnon:"))
    return 1024 * int(kilobytes) / 1e6


class Watch:
    """Samples this process every second in a thread, into a file with a line of JSON per sample."""

    def __init__(self, path: Path) -> None:
        """Write to ``path``."""
        self._path, self._ended, self._over = path, 0, threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch", daemon=True)

    def count(self) -> None:
        """Count a trial that has ended."""
        self._ended += 1

    def _work(self) -> None:
        process, began = psutil.Process(), time.perf_counter()
        with self._path.open("w") as file:
            while not self._over.wait(_EVERY):
                seconds = time.perf_counter() - began
                sample = Sample(seconds, self._ended, own_megabytes(), process.num_fds(), process.num_threads())
                print(json.dumps(sample), file=file, flush=True)

    def __enter__(self) -> Watch:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._over.set()
        self._thread.join()


def read_samples(path: Path) -> list[Sample]:
    """Return the samples of a file."""
    return [Sample(*json.loads(line)) for line in path.read_text().splitlines()]


class Growth(NamedTuple):
    """Growth of a driver's memory, open files and threads over its trials.

    Attributes:
        rate: trials a second, from the first tenth of the trials to the last ended one.
        late_rate: the same, of the last fifth.
        begin: MB at a tenth of the trials.
        end: MB at the last ended trial.
        kilobytes: a trial's share of the growth between them: the slope of a line through the samples.
        files: the most open files before half of the trials, and after it.
        threads: the most threads before half of the trials, and after it.
    """

    rate: float
    late_rate: float
    begin: float
    end: float
    kilobytes: float
    files: tuple[int, int]
    threads: tuple[int, int]


def growth_of(samples: Sequence[Sample]) -> Growth:
    """Return the growth that samples show; those before a tenth of the trials have ended belong to the start.

    Raises:
        ValueError: there are too few samples while trials ended.
    """
    trials = max((sample.ended for sample in samples), default=0)
    last = next((at for at, sample in enumerate(samples) if sample.ended == trials), 0)
    steady = [sample for sample in samples[: last + 1] if sample.ended >= trials / 10]
    if len({sample.ended for sample in steady}) < 3:
        raise ValueError("too few samples while trials ended: take more trials")
    late = [sample for sample in steady if sample.ended >= 0.8 * trials]
    early = [sample for sample in steady if sample.ended <= trials / 2] or steady[:1]
    after = [sample for sample in steady if sample.ended > trials / 2]
    ended, megabytes = np.array([s.ended for s in steady]), np.array([s.megabytes for s in steady])
    return Growth(
        _rate(steady),
        _rate(late) if len(late) > 1 else _rate(steady),
        steady[0].megabytes,
        steady[-1].megabytes,
        1000 * float(np.polyfit(ended, megabytes, 1)[0]),
        (max(s.files for s in early), max(s.files for s in after)),
        (max(s.threads for s in early), max(s.threads for s in after)),
    )


def _rate(samples: Sequence[Sample]) -> float:
    seconds = samples[-1].seconds - samples[0].seconds
    return (samples[-1].ended - samples[0].ended) / seconds if seconds > 0 else float("nan")
