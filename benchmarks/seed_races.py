"""Simulate races of seeds: how many trainings they cost, what they decide, and how often they err.

``python -m benchmarks.seed_races`` draws results of methods from normal distributions, lets `study.search.racing` ask
for seeds as the ledger does, and compares it with five and ten seeds for everyone and Holm-corrected paired t tests, as
`study report` makes them. Two populations: the means and deviations of the eight methods of ``mnist-confirmed``
(docs/results.md), and eight methods that are all the same, where every difference that is called one is an error.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks.machine import header
from study.report.significance import holm
from study.search.racing import Entrant, open_pairs, seeds_wanted
from study.spec.confirm_spec import ConfirmSpec

MNIST_CONFIRMED = {
    "erm": (0.9211, 0.0043),
    "balanced-softmax": (0.9474, 0.0041),
    "m2m": (0.9400, 0.0025),
    "ldam-drw": (0.9368, 0.0087),
    "offset": (0.9310, 0.0061),
    "cce": (0.9308, 0.0038),
    "affinity": (0.9280, 0.0093),
    "elm-drw": (0.9277, 0.0168),
}
"""Method -> mean and standard deviation of its best setting; the first is the baseline."""

Pair = tuple[int, int]


class Race(NamedTuple):
    """The end of one race: trainings, and the pairs that were called different."""

    trainings: int
    different: set[Pair]
    open: int


def race(confirm: ConfirmSpec, draws: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> Race:
    """Let a race ask for seeds until it ends; ``draws`` holds the results of every method, (methods, seeds)."""
    assert confirm.race is not None
    wanted = [confirm.seeds] * len(draws)
    while True:
        entrants = [
            Entrant(True, index == 0, dict(enumerate(draws[index, :count].tolist())))
            for index, count in enumerate(wanted)
        ]
        more = seeds_wanted(confirm, entrants, maximize=True)
        if more == wanted:
            break
        wanted = more
    seeds = max(wanted)
    no_margin = confirm.model_copy(update={"race": confirm.race.model_copy(update={"margin": None})})
    undecided = open_pairs(confirm, entrants, seeds, maximize=True)
    same = set(open_pairs(no_margin, entrants, seeds, maximize=True))
    return Race(sum(wanted), set(_pairs(confirm.race.compare, draws)) - same, len(undecided))


def _pairs(compare: str, draws: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> list[Pair]:
    if compare == "baseline":
        return [(index, 0) for index in range(1, len(draws))]
    pairs = list(combinations(range(len(draws)), 2))
    leader = int(np.argmax(draws.mean(axis=1)))
    return [pair for pair in pairs if compare == "all" or leader in pair]


def fixed(seeds: int, draws: np.ndarray[tuple[int, int], np.dtype[np.float64]], level: float) -> Race:
    """Test every method against the first over the same number of seeds."""
    pairs = _pairs("baseline", draws)
    p_values = [float(stats.ttest_rel(draws[a, :seeds], draws[b, :seeds]).pvalue) for a, b in pairs]
    found = {pair for pair, p in zip(pairs, holm(p_values), strict=True) if p is not None and p <= level}
    return Race(seeds * len(draws), found, 0)


def peeking(draws: np.ndarray[tuple[int, int], np.dtype[np.float64]], first: int, last: int, level: float) -> Race:
    """Look at the fixed test after every seed and stop at the first difference, as one must not."""
    for seeds in range(first, last + 1):
        if (found := fixed(seeds, draws, level)).different:
            return found
    return fixed(last, draws, level)


def rows(population: Sequence[tuple[float, float]], races: int, confirm: ConfirmSpec) -> list[str]:
    """Return a row of the table for each way to choose the number of seeds."""
    assert confirm.race is not None
    level, most = 1 - confirm.race.confidence, confirm.race.at_most
    means, deviations = (np.array(part)[:, None] for part in zip(*population, strict=True))
    generator = np.random.default_rng(0)
    all_draws = [means + deviations * generator.standard_normal((len(population), most)) for _ in range(races)]
    ways = {
        f"race, {confirm.seeds_said} seeds": [race(confirm, draws) for draws in all_draws],
        "5 seeds": [fixed(5, draws, level) for draws in all_draws],
        "10 seeds": [fixed(10, draws, level) for draws in all_draws],
        f"looking after each of {confirm.seeds_said} seeds": [
            peeking(draws, confirm.seeds, most, level) for draws in all_draws
        ],
    }
    lines = []
    for name, found in ways.items():
        trainings = float(np.mean([one.trainings for one in found]))
        different = float(np.mean([len(one.different) for one in found]))
        any_found = float(np.mean([bool(one.different) for one in found]))
        undecided = f"{np.mean([one.open for one in found]):.2f}" if name.startswith("race") else ""
        lines.append(f"| {name} | {trainings:.1f} | {different:.2f} | {any_found:.3f} | {undecided} |")
    return lines


def main() -> None:
    """Print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--races", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=3, help="first seeds")
    parser.add_argument("--at-most", type=int, default=20)
    parser.add_argument("--margin", type=float, default=0.005)
    given = parser.parse_args()
    print(header("benchmarks.seed_races", "numpy", "scipy"), flush=True)
    for compare in ("baseline", "best"):
        confirm = ConfirmSpec.model_validate(
            {
                "seeds": given.seeds,
                "race": {"at_most": given.at_most, "margin": given.margin, "compare": compare},
            }
        )
        populations = {
            "mnist-confirmed": list(MNIST_CONFIRMED.values()),
            "all the same": [(0.93, 0.006)] * len(MNIST_CONFIRMED),
        }
        for name, population in populations.items():
            print(f"\ncompare: {compare}, {name}")
            print("| | trainings | differences found | races with any | left undecided |")
            print("|---|---|---|---|---|")
            print("\n".join(rows(population, given.races, confirm)), flush=True)


if __name__ == "__main__":
    main()
