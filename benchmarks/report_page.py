"""Measure how long ``study report --html`` takes for a study of 1,000 trials, as a user runs it: in a new process.

The study is synthetic: four methods at five imbalance ratios of one data set, confirmed with five seeds. The page must
be written within 20 s on two cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import Neighbours, header
from benchmarks.synthetic_study import SyntheticStudy
from study.spec.study_spec import StudySpec

RATIOS = (10.0, 20.0, 50.0, 100.0, 200.0)
METHODS = ("erm", "cce", "focal", "ldam-drw")
MOST_SECONDS = 20.0


def report_spec(trials: int, seeds: int = 5) -> StudySpec:
    """Return a study whose search has this many trials in all, at least one for each of its 20 cells."""
    return StudySpec.model_validate(
        {
            "name": "thousand",
            "question": "How long does the page take?",
            "data": [{"dataset": "mnist", "profiles": [{"kind": "long_tail", "ratio": list(RATIOS)}]}],
            "methods": list(METHODS),
            "model": "conv-tiny",
            "training": {"epochs": 10, "batch_size": 128, "lr": 0.05},
            "search": {
                "trials": max(1, trials // (len(RATIOS) * len(METHODS))),
                "training": {"lr": {"low": 0.005, "high": 0.5, "scale": "log"}},
            },
            "confirm": {"seeds": seeds},
        }
    )


def timed(storage: Path, name: str, to: Path) -> tuple[float, float]:
    """Write the page once in a new process; return its wall time and its processor time in seconds."""
    command = [sys.executable, "-m", "study.cli.app", "report", name, "--storage", str(storage), "--html", str(to)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Make the study, write its page several times, print the times."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--trials", type=int, default=1000, help="trials of the search")
    made.add_argument("--rounds", type=int, default=3, help="pages to write")
    given = made.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(header("benchmarks.report_page", "matplotlib", "jinja2", "scikit-learn", "optuna"), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        storage, page = Path(folder), Path(folder, "page.html")
        began = time.perf_counter()
        spec = report_spec(given.trials)
        SyntheticStudy(storage, spec).write()
        print(f"made a study of {given.trials} trials in {time.perf_counter() - began:.1f} s", flush=True)
        neighbours = Neighbours()
        times = [timed(storage, spec.name, page) for _ in range(given.rounds)]
        share = neighbours.share()
        wall, busy = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"page: {wall:.1f} s, of which {busy:.1f} s of processor time; median of {given.rounds}")
        print(f"size: {page.stat().st_size / 1e6:.2f} MB; other processes took {100 * share:.0f} % of the machine")
        print(f"aim:  {MOST_SECONDS:g} s: {'met' if wall <= MOST_SECONDS else 'missed'}")


if __name__ == "__main__":
    main()
