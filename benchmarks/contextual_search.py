"""Compare the searcher over all ratios with others on recorded landscapes, in the default order of the cells.

A study of all cells is replayed with every searcher over many seeds. The landscapes are interpolated by randomised
trees (`benchmarks.tree_surrogate`), which no searcher uses; recorded seeds supply the noise.

    python -m benchmarks.contextual_search mnist-small
    python -m benchmarks.contextual_search --times

Trials until near: number of a cell's first trial within half a point of the noise-free best, the number of trials if
there is none, summed over cells. Regret: how far the noise-free value of the trial that the study would select falls
short of the noise-free best, in the mean over cells. Means over seeds with 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arms import TOLERANCE, said
from benchmarks.machine import cores, header
from benchmarks.seeded_landscapes import FOLDER
from benchmarks.tree_surrogate import read_landscape
from study.replay.recorded_curves import Surrogates
from study.replay.replay_outcome import estimate
from study.replay.simulator import simulate
from study.spec.search_tables import CellTrials
from study.spec.study_spec import StudySpec

ARMS: dict[str, dict[str, Any]] = {
    "random": {"searcher": "random", "transfer": False},
    "tpe": {"searcher": "tpe", "transfer": False},
    "tpe + transfer": {"searcher": "tpe", "transfer": True},
    "gp": {"searcher": "gp", "transfer": False},
    "gp + transfer": {"searcher": "gp", "transfer": True},
    "ratio-gp": {"searcher": "ratio-gp", "transfer": False},
    "ratio-gp + transfer": {"searcher": "ratio-gp", "transfer": True},
}
"""Settings of `search` that are compared."""
REFERENCE = "tpe"
Found = dict[str, tuple[int, list[float]]]
"""Cell -> trials until near, and regret after every trial."""


_landscape: tuple[StudySpec, dict[str, Surrogates]]
"""The landscape of this process."""


def take_landscape(study: StudySpec, surrogates: dict[str, Surrogates]) -> None:
    """Set the landscape that `replay` uses in this process."""
    global _landscape
    _landscape = study, surrogates


def replay(trials: int, changes: dict[str, Any], job: tuple[str, int]) -> Found:
    """Replay an arm once; a job is its name and the seed."""
    study, surrogates = _landscape
    arm, seed = job
    search = study.search.model_dump() | {"trials": trials} | ARMS[arm] | changes
    spec = study.model_copy(update={"search": type(study.search).model_validate(search), "seed": seed})
    done = simulate(spec, surrogates, noise=True)
    return {
        name: _measured(
            ledger.ended(), ledger.trials(), done.truth, surrogates[name]["balanced_accuracy"].best(maximize=True)
        )
        for name, ledger in done.ledger.cells.items()
    }


def _measured(
    ended: Sequence[Any], trials: Sequence[Any], truth: dict[str, float], best: float
) -> tuple[int, list[float]]:
    until, regret, chosen, highest = len(trials), [], math.nan, -math.inf
    for assignment, trial in zip(ended, trials, strict=True):
        true = truth[assignment.key]
        if trial.values is not None and trial.values[0] > highest:
            highest, chosen = trial.values[0], best - true
        regret.append(chosen)
        if trial.values is not None and best - true <= TOLERANCE:
            until = min(until, trial.number + 1)
    return until, regret


def lines(found: dict[str, list[Found]], at: Sequence[int]) -> list[str]:
    """Format the comparison: every arm, then every arm by method."""
    shown = []
    for arm, replays in found.items():
        until = [sum(cell[0] for cell in one.values()) for one in replays]
        shown.append(f"{arm:<20} until near {said(estimate(until), '{:.1f}')}")
        if REFERENCE in found:
            other = [sum(cell[0] for cell in one.values()) for one in found[REFERENCE]]
            share = estimate(a / b for a, b in zip(until, other, strict=True))
            shown[-1] += f", {said(share)} of {REFERENCE}'s"
        for n in at:
            regret = estimate(float(np.nanmean([cell[1][n - 1] for cell in one.values()])) for one in replays)
            shown[-1] += f"; regret after {n} {said(regret, '{:.4f}')}"
    methods = sorted({cell.rpartition("/")[2] for one in found.values() for cell in one[0]})
    shown.append("until near by method: " + ", ".join(methods))
    for arm, replays in found.items():
        sums = [
            np.mean([sum(cell[0] for name, cell in one.items() if name.endswith(f"/{method}")) for one in replays])
            for method in methods
        ]
        shown.append(f"  {arm:<20}" + " ".join(f"{value:8.1f}" for value in sums))
    return shown


def _cell_trials(studies: dict[float, Any]) -> list[CellTrials]:
    return [
        CellTrials(f"cell {ratio:g}", "task", ratio, one.get_trials(deepcopy=False)) for ratio, one in studies.items()
    ]


def suggest_times(counts: Sequence[int], repeats: int = 5) -> Iterator[str]:
    """Yield how long a proposal takes where all trials, five params each, are of one method's five cells.

    The first proposal of a driver fits the hyperparameters; the later ones follow a trial each, and mostly reuse them.
    """
    import optuna
    from optuna.trial import create_trial

    from search_spaces import Range, Space, distributions_of
    from study.search.sampler_factory import MethodTrials, build_searcher

    space: Space = {name: Range(low=0, high=1) for name in "abcde"}
    ratios = (10.0, 20.0, 50.0, 100.0, 200.0)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for count in counts:
        rng = np.random.default_rng(0)
        studies = {ratio: optuna.create_study(direction="maximize") for ratio in ratios}

        def add(ratio: float, params: dict[str, float], studies: Any = studies, rng: Any = rng) -> None:
            missed = sum((x - 0.1 * math.log(ratio)) ** 2 for x in params.values())
            value = 0.9 - 0.05 * math.log(ratio) - 0.1 * missed + 0.005 * rng.standard_normal()
            studies[ratio].add_trial(create_trial(params=params, distributions=distributions_of(space), value=value))

        for number in range(count):
            add(ratios[number % 5], dict(zip(space, rng.random(5).tolist(), strict=True)))
        spent = []
        for number in range(repeats + 1):
            ratio = ratios[(count + number) % 5]
            method = MethodTrials(f"cell {ratio:g}", "method", trials=partial(_cell_trials, studies))
            study = studies[ratio]
            began = time.perf_counter(), time.process_time()
            study.sampler = build_searcher(
                "ratio-gp", 0, f"cell {ratio:g}", len(study.get_trials(deepcopy=False)), space, method=method
            )
            params = study.ask(distributions_of(space)).params
            spent.append((time.perf_counter() - began[0], time.process_time() - began[1]))
            add(ratio, params)
        first, later = spent[0], np.median(spent[1:], axis=0)
        yield (
            f"{count:5d} trials: first {first[0]:.2f} s (processor {first[1]:.2f} s), "
            f"later {later[0]:.2f} s (processor {later[1]:.2f} s)"
        )


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="mnist-small", help="landscape")
    parser.add_argument("--file", type=Path, help="packed landscape (benchmarks/landscapes/NAME.json.gz)")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS, help="searchers")
    parser.add_argument("--methods", nargs="+", default=[], help="methods (all)")
    parser.add_argument("--trials", type=int, default=20, help="of a cell")
    parser.add_argument("--seeds", type=int, default=30, help="replays of every arm")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes")
    parser.add_argument("--interpolation", default="trees", choices=["trees", "gp"], help="of the landscape")
    parser.add_argument("--pruner", default="none", help="pruner")
    parser.add_argument(
        "--keep", type=Path, help="file of finished replays, which a later call of the same goes on with"
    )
    parser.add_argument("--surrogate", action="store_true", help="only say how well the surrogate predicts")
    parser.add_argument("--times", action="store_true", help="measure the time to suggest instead")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(header("benchmarks.contextual_search", "optuna", "scikit-learn", "scipy"), flush=True)
    if given.times:
        for line in suggest_times((100, 1000, 5000)):
            print(line, flush=True)
        return
    path = given.file or FOLDER / f"{given.name}.json.gz"
    study, surrogates = read_landscape(path, tuple(given.methods), trees=given.interpolation == "trees")
    run = partial(replay, given.trials, {"pruner": {"name": given.pruner}})
    if given.surrogate:
        trees: Any = [one["balanced_accuracy"] for one in surrogates.values()]
        measured = [(one.error(), one.noise()) for one in trees]
        error, noise = np.mean(measured, axis=0)
        print(f"surrogate: error at points left out {error:.4f}, noise over seeds {noise:.4f}", flush=True)
        return
    found: dict[str, list[Found]] = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(given.jobs, context, initializer=take_landscape, initargs=(study, surrogates)) as pool:
        kept = json.loads(given.keep.read_text()) if given.keep and given.keep.exists() else {}
        for arm in given.arms:
            began, known = time.monotonic(), kept.setdefault(arm, [])
            for one in pool.map(run, [(arm, seed) for seed in range(len(known), given.seeds)]):
                known.append(one)
                if given.keep:
                    given.keep.write_text(json.dumps(kept))
            found[arm] = known[: given.seeds]
            print(f"{arm}: {time.monotonic() - began:.0f} s", flush=True)
    print("\n".join(lines(found, [n for n in (10, 20) if n <= given.trials])), flush=True)


if __name__ == "__main__":
    main()
