"""Measure the gain of transfer between cells and of pruning after the last change of stage, on replayed landscapes.

Transfer: trials until one is within half a point of the cell's best recorded trial, with and without transfer. Pruning:
epochs saved, and the rank of the selected trial among all started, for methods with and without deferred stages,
compared with the same pruner when it ignores the change of stage. Record the two studies first:

    python -m benchmarks.landscapes
    python -m benchmarks.landscapes --name deferred --deferred --ratios 10 50 100

Means over seeds with 95 % confidence intervals; differences are paired by seed.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.arms import TOLERANCE, Arm, Replay, difference, mean_of, replay_arms, said
from benchmarks.machine import cores, header
from study.replay.recorded_curves import Surrogates, read_surrogates
from study.replay.replay_outcome import estimate
from study.search.transfer import neighbours
from study.spec.cell import expand
from study.spec.search_spec import SearchSpec
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.study_view import CellView, StudyView, open_view
from trainables.core.errors import BadInput
from trainables.core.metric_names import METRICS

CAN_TRANSFER = "transfer" in SearchSpec.model_fields
PRUNERS = ("median", "successive-halving")


def recorded(folder: StudyFolder, overrides: tuple[str, ...]) -> tuple[StudyView, dict[str, Surrogates]]:
    """Return a stored study with overrides applied, and its landscapes.

    Raises:
        BadInput: the study does not exist, or an override is invalid.
    """
    view = replace(open_view(folder), spec=folder.read_spec(overrides))
    return view, read_surrogates(view, view.spec)


def worth(cells: Sequence[CellView], landscapes: dict[str, Surrogates], metric: str) -> dict[str, float]:
    """Return how far the best params of each cell's nearest neighbour fall short of the cell's own best, without noise.

    No transfer of best params can do better than this, however many trials found them.
    """
    sign = 1 if METRICS[metric][1] == "maximize" else -1
    views = {view.cell.name: view for view in cells}

    def end(cell: str, values: dict[str, Any]) -> float:
        return sign * float(landscapes[cell][metric].curve(values)[-1])

    found = {}
    for name, view in views.items():
        near = neighbours(view.cell, [other.cell for other in cells])
        if not near:
            continue
        settings = [trial.params for trial in views[near[0].name].in_state("COMPLETE")]
        taken = max(settings, key=lambda values: end(near[0].name, values))
        found[name] = sign * landscapes[name][metric].best(maximize=sign > 0) - end(name, taken)
    return found


def worth_line(short_by: dict[str, float], tolerance: float = TOLERANCE) -> str:
    """Format in how many cells the nearest neighbour's best params are near, and their median shortfall."""
    near = sum(value <= tolerance for value in short_by.values())
    if not short_by:
        return "no cell has a neighbour"
    return (
        f"the nearest neighbour's best values are near in {near} of {len(short_by)} cells, "
        f"short by {statistics.median(short_by.values()):.4f} in the median cell"
    )


def transfer_arms(spec: StudySpec) -> dict[str, Arm]:
    """Return the study with and without transfer; only without if this version has no transfer."""
    if not CAN_TRANSFER:
        return {"without": Arm(spec)}
    return {
        name: Arm(spec.model_copy(update={"search": spec.search.model_copy(update={"transfer": on})}))
        for name, on in (("without", False), ("with", True))
    }


def transfer_lines(replays: dict[str, list[Replay]]) -> list[str]:
    """Format the effect of transfer, overall and per cell."""
    lines = []
    for name, found in replays.items():
        measures = ("trials_until", "reached", "regret")
        until, reached, regret = (estimate(mean_of(one, measure) for one in found) for measure in measures)
        lines.append(
            f"{name:<8} trials until near {said(until)}, cells that came near {said(reached)}, "
            f"regret {said(regret, '{:.4f}')}"
        )
    if "with" not in replays:
        return [*lines, "this version has no search.transfer to compare with"]
    without, with_it = (
        [[one[cell].trials_until for one in replays[arm]] for cell in replays[arm][0]] for arm in ("without", "with")
    )
    saved = difference(*([sum(seed) / len(seed) for seed in zip(*arm, strict=True)] for arm in (without, with_it)))
    lines.append(f"transfer spares {said(saved)} trials a cell")
    lines.append(_receivers_line(replays["without"], replays["with"]))
    for cell, a, b in zip(replays["with"][0], without, with_it, strict=True):
        lines.append(f"  {cell:<32} {said(estimate(a))} -> {said(estimate(b))}")
    return lines


def _receivers_line(without: list[Replay], with_it: list[Replay]) -> str:
    """Format the effect of transfer in receiving cells; in an order by ratio the first cells only provide."""
    cells = [cell for cell in without[0] if any(a[cell] != b[cell] for a, b in zip(without, with_it, strict=True))]
    if not cells:
        return "no cell was given anything"
    before, after = ([mean_of(one, "trials_until", cells.__contains__) for one in arm] for arm in (without, with_it))
    share = estimate(b / a for a, b in zip(before, after, strict=True))
    return (
        f"{len(cells)} cells that were given values: trials until near {said(estimate(before))} -> "
        f"{said(estimate(after))}, {said(share)} of them"
    )


def pruning_arms(spec: StudySpec) -> dict[str, Arm]:
    """Return the study without a pruner and, for every pruner, with and without regard to the change of stage."""
    arms = {"none": Arm(_pruned(spec, "none"))}
    for pruner in PRUNERS:
        arms[pruner] = Arm(_pruned(spec, pruner))
        arms[f"{pruner}, blind"] = Arm(_pruned(spec, pruner), blind=True)
    return arms


def _pruned(spec: StudySpec, name: str) -> StudySpec:
    pruner = spec.search.pruner.model_copy(update={"name": name})
    return spec.model_copy(update={"search": spec.search.model_copy(update={"pruner": pruner})})


def pruning_lines(spec: StudySpec, replays: dict[str, list[Replay]]) -> list[str]:
    """Format epochs saved, rank and regret for methods with and without deferred stages."""
    deferred = {cell.name for cell in expand(spec) if cell.pruning_start_epoch > 0}
    budget, lines = spec.search.trials * spec.training.epochs, []
    for group, wanted in (("deferred", True), ("plain", False)):

        def keep(cell: str, wanted: bool = wanted) -> bool:
            return (cell in deferred) == wanted

        if not any(map(keep, replays["none"][0])):
            continue
        lines.append(f"{group} methods")
        for arm, found in replays.items():
            saved = estimate(mean_of(one, "epochs_saved", keep) / budget for one in found)
            rank, regret = (estimate(mean_of(one, m, keep) for one in found) for m in ("rank", "regret"))
            lines.append(
                f"  {arm:<26} saved {said(saved)} of the epochs, rank {said(rank)}, regret {said(regret, '{:.4f}')}"
            )
    return lines


def main() -> None:
    """Replay both studies and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", type=Path, default=Path("runs"), help="folder of studies")
    parser.add_argument("--name", default="landscapes", help="study for transfer")
    parser.add_argument("--deferred", default="deferred", help="study for pruning")
    parser.add_argument("--trials", type=int, default=20, help="of a cell")
    parser.add_argument("--seeds", type=int, default=30, help="replays of every setting")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="a change of every setting")
    given = parser.parse_args()
    print(header("benchmarks.transfer_gain", "optuna", "scikit-learn"), flush=True)
    changes = (f"search.trials={given.trials}", "search.searcher=tpe", *given.set)
    for title, name in (("transfer", given.name), ("pruning", given.deferred)):
        try:
            view, landscapes = recorded(StudyFolder(given.storage.resolve(), name), changes)
        except BadInput as error:
            print(f"{title}: skipped, {error}", flush=True)
            continue
        spec = view.spec
        arms = transfer_arms(spec) if title == "transfer" else pruning_arms(spec)
        replays = replay_arms(arms, landscapes, seeds=given.seeds, jobs=given.jobs)
        lines = transfer_lines(replays) if title == "transfer" else pruning_lines(spec, replays)
        print(f"{title}, study '{name}', {given.seeds} seeds, {given.trials} trials a cell")
        if title == "transfer":
            lines.append(worth_line(worth(view.cells, landscapes, spec.search.metrics[0])))
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
