"""Measure sweeps of many near-empty trials: trials a second, and the driver's memory and open files as trials end.

``python -m benchmarks.many_trials --sweeps ours:1000 stock:200 --nodes 1 4``: every sweep runs in its own process and
folder, on a Ray cluster of one node with four workers or of four nodes with a worker each, all of them on this
machine. A trial trains a perceptron for one epoch on a few hundred digits, some ten milliseconds, so that what is
measured is the work around trials. Ours is the complete ``study run``; the stock sweep is Tuner, OptunaSearch and
MLflowLoggerCallback, with a new actor for every trial as is its default, or with reused ones
(``stock, actors reused``).

A driver's memory is the anonymous memory of its process. KB a trial is the slope of a line through the samples of every
second after the first tenth of the trials. Ray publishes 715 s for 10,000 trials of one second and one result, 16 at a
time, where 625 s are the least: 9 ms a trial of bookkeeping, on one node of 16 cores
(https://docs.ray.io/en/latest/tune/tutorials/tune-scalability.html).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.driver_growth import Growth, growth_of, read_samples
from benchmarks.machine import header
from benchmarks.sweeps import SAMPLES, SIDES, SweepTimes, in_new_process

WORKERS = 4
PUBLISHED_MS = 1000 * (715.27 - 625) / 10_000
"""Ray's published bookkeeping overhead in ms a trial."""


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """Start a Ray cluster on this machine and yield its address; its nodes share `WORKERS` processor cores."""
    from ray.cluster_utils import Cluster

    share = {"num_cpus": WORKERS // nodes}
    kind: Any = Cluster
    made = kind(initialize_head=True, head_node_args={**share, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            made.add_node(**share)
        made.wait_for_nodes()
        yield str(made.address)
    finally:
        made.shutdown()


def measure(side: str, trials: int, address: str) -> tuple[SweepTimes, Growth, float]:
    """Run one sweep in a new process and folder; also return the seconds of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        began = time.perf_counter()
        times = in_new_process(side, trials, WORKERS, 1, place, address=address)
        seconds = time.perf_counter() - began
        return times, growth_of(read_samples(place / SAMPLES)), seconds


def row(side: str, nodes: int, trials: int, growth: Growth) -> str:
    """Return a row of the table."""
    files, threads = ("{} to {}".format(*pair) for pair in (growth.files, growth.threads))
    memory = f"{growth.begin:.0f} to {growth.end:.0f}"
    rate = f"{growth.rate:.2f} | {growth.late_rate:.2f}"
    grown = f"{memory} | {growth.kilobytes:.1f} | {files} | {threads}"
    return f"| {side} | {nodes} | {trials:,} | {rate} | {grown} |"


def _sweep(text: str) -> tuple[str, int]:
    side, _, trials = text.rpartition(":")
    if side not in SIDES or not trials.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not SIDE:TRIALS with a side of {', '.join(SIDES)}")
    return side, int(trials)


def main() -> None:
    """Run every sweep on every cluster and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sweeps", type=_sweep, nargs="+", default=[("ours", 1000), ("stock", 200)], metavar="SIDE:TRIALS"
    )
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 4], choices=(1, 2, 4))
    given = parser.parse_args()
    print(header("benchmarks.many_trials", "ray", "optuna", "mlflow", "torch"), flush=True)
    print(
        f"Ray's published bookkeeping: {PUBLISHED_MS:.0f} ms a trial, {1000 / PUBLISHED_MS:.0f} trials a second at most"
    )
    print("| | nodes | trials | trials/s | last fifth | driver MB | KB a trial | files | threads |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for nodes in given.nodes:
        for side, trials in given.sweeps:
            with cluster(nodes) as address:
                times, growth, _ = measure(side, trials, address)
                print(row(side, nodes, times.trials, growth), flush=True)


if __name__ == "__main__":
    main()
