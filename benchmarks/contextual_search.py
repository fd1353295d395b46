"""Compare searcher and pruner over all ratios with others on recorded landscapes, in the default order of the cells.

A study of all cells is replayed with every searcher and pruner over many seeds. Neural networks or randomised trees
interpolate the landscapes (`benchmarks.method_surface`), which no searcher uses; recorded seeds supply the noise.

    python -m benchmarks.contextual_search mnist-small
    python -m benchmarks.contextual_search mnist-small --arms "tpe, median" "ratio-gp, ratio-gp"
    python -m benchmarks.contextual_search mnist-small --errors
    python -m benchmarks.contextual_search --times

Trials until near: number of a cell's first complete trial within half a point of the noise-free best, the number of
trials if there is none, summed over cells. Epochs until near: what the trials of a cell up to that one trained, of all
trials if there is none, summed over cells. Regret: how far the noise-free value of the final choice of the study
falls short of the noise-free best, in the mean over cells. Rank: of that trial's noise-free value among those of the
recorded points of the cell, from 1. Means over seeds with 95 % intervals.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, get_args

import numpy as np
from optuna.trial import TrialState

from benchmarks.arms import TOLERANCE, said
from benchmarks.machine import cores, header
from benchmarks.method_surface import Kind, error, read_landscape, read_methods
from benchmarks.seeded_landscapes import FOLDER
from study.replay.recorded_curves import Surrogates
from study.replay.replay_outcome import estimate
from study.replay.simulator import simulate
from study.spec.search_tables import CellTrials
from study.spec.study_spec import StudySpec


def _arm(searcher: str, *, transfer: bool = False, pruner: str = "none", prior: float = 0) -> dict[str, Any]:
    return {"searcher": searcher, "transfer": transfer, "pruner": {"name": pruner}, "preset_prior": prior}


ARMS: dict[str, dict[str, Any]] = {
    "random": _arm("random"),
    "tpe": _arm("tpe"),
    "tpe + transfer": _arm("tpe", transfer=True),
    "gp": _arm("gp"),
    "gp + transfer": _arm("gp", transfer=True),
    "ratio-gp": _arm("ratio-gp"),
    "ratio-gp + transfer": _arm("ratio-gp", transfer=True),
    "ratio-gp + prior": _arm("ratio-gp", prior=2),
    "tpe, median": _arm("tpe", pruner="median"),
    "tpe + transfer, median": _arm("tpe", transfer=True, pruner="median"),
    "tpe, ratio-gp": _arm("tpe", pruner="ratio-gp"),
    "ratio-gp, median": _arm("ratio-gp", pruner="median"),
    "ratio-gp, ratio-gp": _arm("ratio-gp", pruner="ratio-gp"),
}
"""Settings of `search` that are compared: the searcher, and after a comma the pruner."""


@dataclass(frozen=True)
class Measured:
    """Results of one cell in one replay.

    Attributes:
        until: trials until near.
        epochs_until: epochs until near.
        regret: regret after every trial.
        rank: rank of the final choice.
        epochs: epochs of all trials.
    """

    until: int
    epochs_until: int
    regret: list[float]
    rank: int
    epochs: int


Found = dict[str, Measured]
"""Cell -> what it showed."""


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
    search = study.search.model_dump() | {"trials": trials} | ARMS[arm]
    search["pruner"] = search["pruner"] | changes
    spec = study.model_copy(update={"search": type(study.search).model_validate(search), "seed": seed})
    done = simulate(spec, surrogates, noise=True)
    return {
        name: _measured(ledger.ended(), ledger.trials(), done.truth, surrogates[name]["balanced_accuracy"])
        for name, ledger in done.ledger.cells.items()
    }


def _measured(ended: Sequence[Any], trials: Sequence[Any], truth: dict[str, float], surrogate: Any) -> Measured:
    until, epochs_until, epochs, regret = len(trials), None, 0, []
    best, chosen, highest = surrogate.best(maximize=True), math.nan, -math.inf
    for assignment, trial in zip(ended, trials, strict=True):
        true = truth[assignment.key]
        epochs += len(trial.intermediate_values)
        if trial.state == TrialState.COMPLETE:
            if trial.values[0] > highest:
                highest, chosen = trial.values[0], true
            if epochs_until is None and best - true <= TOLERANCE:
                until, epochs_until = trial.number + 1, epochs
        regret.append(best - chosen)
    return Measured(until, epochs if epochs_until is None else epochs_until, regret, surrogate.rank(chosen), epochs)


def lines(found: dict[str, list[Found]], at: Sequence[int]) -> list[str]:
    """Format the comparison: every arm, then every arm by method."""
    shown = []
    for arm, replays in found.items():
        reference = "tpe" if ARMS[arm]["pruner"]["name"] == "none" else "tpe, median"
        line = [f"{arm:<20}"]
        for measure in ("until", "epochs_until", "epochs"):
            own = _sums(replays, measure)
            line.append(f"{measure.replace('_', ' ')} {said(estimate(own), '{:.1f}')}")
            if reference in found and reference != arm and measure != "epochs":
                pairs = zip(own, _sums(found[reference], measure), strict=False)
                line[-1] += f", {said(estimate(a / b for a, b in pairs))} of {reference}'s"
        for n in at:
            regret = estimate(float(np.nanmean([cell.regret[n - 1] for cell in one.values()])) for one in replays)
            line.append(f"regret after {n} {said(regret, '{:.4f}')}")
        rank = estimate(float(np.mean([cell.rank for cell in one.values()])) for one in replays)
        shown.append("; ".join([*line, f"rank {said(rank, '{:.1f}')}"]))
    methods = sorted({cell.rpartition("/")[2] for one in found.values() for cell in one[0]})
    for measure in ("until", "epochs_until"):
        shown.append(f"{measure.replace('_', ' ')} by method: " + ", ".join(methods))
        for arm, replays in found.items():
            sums = [np.mean(_sums(replays, measure, f"/{method}")) for method in methods]
            shown.append(f"  {arm:<20}" + " ".join(f"{value:8.1f}" for value in sums))
    return shown


def _sums(replays: Sequence[Found], measure: str, cells: str = "") -> list[float]:
    """Return the sum over cells whose names end so, for every replay."""
    return [sum(getattr(m, measure) for name, m in one.items() if name.endswith(cells)) for one in replays]


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


def surface_errors(path: Path, methods: Sequence[str], folds: int = 10) -> Iterator[str]:
    """Yield for each method what surfaces mispredict at points left out, and how much of it is noise."""
    for name, method in read_methods(path, methods)[1].items():
        cells = list(method.cells.values())
        several = [len(seeds) for cell in cells for seeds in cell.seeds]
        noise = math.sqrt(float(np.mean([cell.noise() ** 2 for cell in cells])))
        of_means = noise * math.sqrt(float(np.mean([1 / count for count in several])))
        errors = ", ".join(f"{kind} {error(kind, cells, method.log_ratios, folds):.4f}" for kind in get_args(Kind))
        yield f"{name:<18} noise of a training {noise:.4f}, of the means {of_means:.4f}; error of {errors}"


def main() -> None:
    """Replay and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="mnist-small", help="landscape")
    parser.add_argument("--file", type=Path, help="packed landscape (benchmarks/landscapes/NAME.json.gz)")
    parser.add_argument(
        "--arms", nargs="+", default=list(ARMS), choices=ARMS, metavar="ARM", help=f"of: {'; '.join(ARMS)}"
    )
    parser.add_argument("--methods", nargs="+", default=[], help="methods (all)")
    parser.add_argument("--trials", type=int, default=20, help="of a cell")
    parser.add_argument("--seeds", type=int, default=30, help="replays of every arm")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes")
    parser.add_argument("--surface", default="networks", choices=get_args(Kind), help="what interpolates")
    parser.add_argument("--pruner", type=json.loads, default={}, help="options of the pruner, as JSON")
    parser.add_argument(
        "--keep", type=Path, help="file of finished replays, which a later call of the same goes on with"
    )
    parser.add_argument("--errors", action="store_true", help="only say how well every kind of surface predicts")
    parser.add_argument("--times", action="store_true", help="measure the time to suggest instead")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(header("benchmarks.contextual_search", "optuna", "scikit-learn", "scipy"), flush=True)
    if given.times:
        for line in suggest_times((100, 1000, 5000)):
            print(line, flush=True)
        return
    path = given.file or FOLDER / f"{given.name}.json.gz"
    if given.errors:
        for line in surface_errors(path, given.methods):
            print(line, flush=True)
        return
    study, surrogates = read_landscape(path, given.methods, given.surface)
    run = partial(replay, given.trials, given.pruner)
    found: dict[str, list[Found]] = {}
    context = get_context("spawn")
    with ProcessPoolExecutor(given.jobs, context, initializer=take_landscape, initargs=(study, surrogates)) as pool:
        kept = json.loads(given.keep.read_text()) if given.keep and given.keep.exists() else {}
        for arm in given.arms:
            began, known = time.monotonic(), kept.setdefault(arm, [])
            for one in pool.map(run, [(arm, seed) for seed in range(len(known), given.seeds)]):
                known.append({cell: asdict(measured) for cell, measured in one.items()})
                if given.keep:
                    given.keep.write_text(json.dumps(kept))
            found[arm] = [{cell: Measured(**m) for cell, m in one.items()} for one in known[: given.seeds]]
            print(f"{arm}: {time.monotonic() - began:.0f} s", flush=True)
    print("\n".join(lines(found, [n for n in (10, 20) if n <= given.trials])), flush=True)


if __name__ == "__main__":
    main()
