"""Measure a study's seconds per trial beyond training, against Tuner + OptunaSearch + MLflowLoggerCallback.

Both sweeps train the same trials (a perceptron on a few hundred digits, five results each) with the same loop. Ours is
the complete ``study run``: ledger, MLflow runs with tables and pictures, reused actors. The stock sweep uses the
defaults of its parts: a new actor for every trial, metrics logged one by one, no pictures. The overhead of a trial is
(wall - training / concurrency) / trials, with training measured inside the trials. Ray's start and stop are shown
separately. Imports and the creation of MLflow's database precede the measurement. The overhead includes the start of
our workers, which import torch once. A shorter sweep of ours gives the cost of each further trial.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.machine import cores, header
from benchmarks.sweeps import SweepTimes, in_new_process

MOST_SECONDS, LEAST_RATIO = 0.4, 3.0


def measure(side: str, trials: int, concurrency: int, epochs: int) -> SweepTimes:
    """Run one sweep in a new process and folder."""
    with tempfile.TemporaryDirectory() as folder:
        return in_new_process(side, trials, concurrency, epochs, Path(folder).resolve())


def _line(side: str, times: SweepTimes) -> str:
    return (
        f"{side:<6} {times.trials:>3} trials, {times.wall:6.1f} s, of them Ray's start and stop {times.ray:4.1f} s, "
        f"training {times.training:5.2f} s in {times.concurrency} at a time: {times.overhead:.3f} s a trial beyond"
    )


def _further(few: SweepTimes, many: SweepTimes) -> float:
    return (many.overhead * many.trials - few.overhead * few.trials) / (many.trials - few.trials)


def main() -> None:
    """Run both sweeps in turn for every round and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=120, help="trials of our sweep")
    parser.add_argument("--few-trials", type=int, default=40, help="trials of our shorter sweep")
    parser.add_argument("--stock-trials", type=int, default=12, help="trials of the stock sweep")
    parser.add_argument("--epochs", type=int, default=5, help="results of a trial")
    parser.add_argument("--concurrency", type=int, default=cores(), help="trials at a time")
    parser.add_argument("--rounds", type=int, default=2, help="times that both sweeps run")
    given = parser.parse_args()
    print(header("benchmarks.sweep_overhead", "ray", "optuna", "mlflow", "torch"), flush=True)
    own, few, stock = [], [], []
    for _ in range(given.rounds):
        few.append(measure("ours", given.few_trials, given.concurrency, given.epochs))
        print(_line("ours", few[-1]), flush=True)
        own.append(measure("ours", given.trials, given.concurrency, given.epochs))
        print(_line("ours", own[-1]), flush=True)
        stock.append(measure("stock", given.stock_trials, given.concurrency, given.epochs))
        print(_line("stock", stock[-1]), flush=True)
    overhead = statistics.median(times.overhead for times in own)
    ratio = statistics.median(b.overhead / a.overhead for a, b in zip(own, stock, strict=True))
    print(f"ours: {overhead:.3f} s a trial beyond training (required: at most {MOST_SECONDS})")
    further = statistics.median(_further(a, b) for a, b in zip(few, own, strict=True))
    print(f"ours: {further:.3f} s for a further trial, once the workers stand")
    print(f"stock / ours: {ratio:.1f} (required: at least {LEAST_RATIO:g})")


if __name__ == "__main__":
    main()
