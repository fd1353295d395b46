"""Start of the command: `study methods` and the refusal of a bad study file beside `study --help`.

    python -m benchmarks.command_start [--rounds 7]

Each round starts every command once, in turn, as a process of its own, so that a drift of the machine's speed meets all
alike. The table shows the median wall time, the median of the per-round ratios to ``study --help``, and the limit: 1.5
times the median of ``study --help`` plus 0.5 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_BAD = "name: bad\ndata: [{dataset: digits, profiles: [{ratio: 10}]}]\nmethods: [ccee]\n"


def measure(commands: dict[str, list[str]], rounds: int) -> dict[str, list[float]]:
    """Return the wall times in seconds of each command over the rounds, after one round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(rounds + 1):
        for name, words in commands.items():
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-m", "study.cli.app", *words], capture_output=True, check=False)
            if round_number:
                times[name].append(time.perf_counter() - begin)
    return times


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args(arguments).rounds
    with tempfile.TemporaryDirectory() as folder:
        bad = Path(folder) / "bad.yaml"
        bad.write_text(_BAD)
        commands = {
            "study --help": ["--help"],
            "study methods": ["methods"],
            "study spaces": ["spaces"],
            "study run bad.yaml": ["run", str(bad)],
            "study status": ["status", "--storage", folder],
        }
        times = measure(commands, rounds)
    baseline = times["study --help"]
    limit = 1.5 * statistics.median(baseline) + 0.5
    print("| command | median s | ratio to --help | limit s |\n|---|---|---|---|")
    for name, own in times.items():
        ratio = statistics.median(a / b for a, b in zip(own, baseline, strict=True))
        print(f"| `{name}` | {statistics.median(own):.2f} | {ratio:.2f} | {limit:.2f} |")


if __name__ == "__main__":
    main()
