"""Replays a recorded study under other settings and reports its costs and results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from study.replay.recorded_curves import Surrogates, read_surrogates
from study.replay.replay_outcome import CellOutcome, Estimate, in_all, outcomes, over_seeds
from study.replay.simulator import simulate
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from study.store.study_view import CellView, StudyView, open_view
from study.store.warm_start import WarmStarts, find_warm_starts, read_warm_starts
from study.terminal import plain_table
from trainables.core.errors import BadInput

FIXED = ("search.training", "search.wall_hours")
"""Search settings that a replay cannot change: curves cover only the recorded space, and no real time passes."""

_COLUMNS = {
    "trials": ("trials", "{:.0f}"),
    "pruned": ("pruned", "{:.1f}"),
    "epochs_trained": ("trained", "{:.0f}"),
    "epochs_saved": ("saved", "{:.0f}"),
    "best_found": ("best", "{:.4f}"),
    "regret": ("regret", "{:.4f}"),
    "rank": ("rank", "{:.1f}"),
    "trials_until": ("until near", "{:.1f}"),
    "reached": ("reached", "{:.0%}"),
}


@dataclass(frozen=True)
class ReplayOptions:
    """Options of a replay.

    Attributes:
        overrides: ``path=value`` pairs, changes of ``search`` or ``seed``.
        seeds: number of replays; replay i uses the study's seed + i.
        noise: True to add the residuals of recorded neighbours to the curves.
        tolerance: largest accepted difference to the best recorded trial, in the metric's unit.
    """

    overrides: tuple[str, ...] = ()
    seeds: int = 1
    noise: bool = False
    tolerance: float = 0.005


def replay_study(folder: StudyFolder, options: ReplayOptions) -> dict[str, Any]:
    """Replay a stored study.

    Returns:
        The content of ``study replay --json``: ``study``, ``settings``, ``epochs`` of a trial, ``seeds``, ``noise``,
        ``tolerance``, ``cells`` (each with ``recorded``, ``leave_one_out`` and ``replayed``: measure -> mean and
        interval) and ``all``.

    Raises:
        BadInput: the study or a warm start's study does not exist, an override is not allowed in a replay, or a
            cell has no curve.
    """
    _refuse(options.overrides)
    view, spec = open_view(folder), folder.read_spec(options.overrides)
    if spec.search.select == "best":
        raise BadInput(
            f"search.select: a replay of '{folder.name}' takes the objective at the last epoch and cannot "
            f"select the best; --set search.select=last replays it so"
        )
    surrogates = read_surrogates(view, spec)
    if spec.search.warm_start == view.spec.search.warm_start:
        warm_starts = read_warm_starts(folder, spec)
    else:
        warm_starts = find_warm_starts(spec, [cell.cell for cell in view.cells], folder.storage, source="--set")
    replays = replay_seeds(spec, surrogates, options, warm_starts)
    return {
        "study": folder.name,
        "settings": _settings(spec),
        "epochs": spec.training.epochs,
        "seeds": options.seeds,
        "noise": options.noise,
        "tolerance": options.tolerance,
        "cells": [_cell(cell, surrogates[cell.cell.name], replays, view) for cell in view.cells],
        "all": {"recorded": _recorded_in_all(view), "replayed": _plain(in_all(replays))},
    }


def replay_seeds(
    spec: StudySpec, surrogates: dict[str, Surrogates], options: ReplayOptions, warm_starts: WarmStarts | None = None
) -> list[dict[str, CellOutcome]]:
    """Replay a study once per seed."""
    seeded = (spec.model_copy(update={"seed": spec.seed + number}) for number in range(options.seeds))
    done = (simulate(one, surrogates, noise=options.noise, warm_starts=warm_starts) for one in seeded)
    return [outcomes(one, surrogates, options.tolerance) for one in done]


def _refuse(overrides: tuple[str, ...]) -> None:
    for override in overrides:
        path = override.partition("=")[0].strip()
        fixed = any(path == name or path.startswith(f"{name}.") for name in FIXED)
        if fixed or not (path == "seed" or path.startswith("search.")):
            raise BadInput(
                f"--set {override}: a replay may change only seed and what stands under search, "
                f"but not {' or '.join(FIXED)}: curves are known of what was recorded alone"
            )


def _settings(spec: StudySpec) -> dict[str, Any]:
    return {"seed": spec.seed, **spec.search.model_dump(mode="json", exclude={"training", "wall_hours"})}


def _cell(
    view: CellView, surrogates: Surrogates, replays: list[dict[str, CellOutcome]], study: StudyView
) -> dict[str, Any]:
    first = next(iter(surrogates.values()))
    return {
        "cell": view.cell.name,
        "recorded": _recorded(view),
        "leave_one_out": asdict(first.trust()),
        "replayed": _plain(over_seeds(replays, view.cell.name)),
    }


def _recorded(view: CellView) -> dict[str, Any]:
    best = view.best()
    return {
        "trials": len(view.trials),
        "pruned": len(view.in_state("PRUNED")),
        "epochs_trained": view.epochs_trained(),
        "epochs_saved": view.epochs_saved(),
        "best": None if best is None else best.value,
    }


def _recorded_in_all(view: StudyView) -> dict[str, Any]:
    cells = [_recorded(cell) for cell in view.cells]
    return {name: sum(cell[name] for cell in cells) for name in ("trials", "pruned", "epochs_trained", "epochs_saved")}


def _plain(found: dict[str, Estimate]) -> dict[str, Any]:
    return {name: asdict(value) for name, value in found.items()}


def print_replay(found: dict[str, Any], console: Console) -> None:
    """Print a replay as tables: the mean of every cell, then the study with its intervals."""
    search = found["settings"]
    console.print(
        f"{found['study']} replayed over {found['seeds']} seeds: searcher {search['searcher']}, "
        f"pruner {search['pruner']['name']}, {_budget(found)} a cell, {search['concurrency'] or 1} at a time",
        highlight=False,
    )
    table = plain_table()
    table.add_column("cell", no_wrap=True)
    for heading in ("recorded", "error", *(heading for heading, _ in _COLUMNS.values())):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in found["cells"]:
        best, error = cell["recorded"]["best"], cell["leave_one_out"]["error"]
        table.add_row(cell["cell"], _shown("{:.4f}", best), _shown("{:.4f}", error), *_means(cell["replayed"]))
    table.add_row("all (sums, means)", "", "", *_means(found["all"]["replayed"]))
    if found["seeds"] > 1:
        for end in ("low", "high"):
            table.add_row(f"  95 % interval, {end}", "", "", *_means(found["all"]["replayed"], end))
    console.print(table, highlight=False)
    console.print(
        f"recorded: best recorded value; error: leave-one-out error of the surrogate\n"
        f"regret, until near: to the best recorded trial without its noise, near is within {found['tolerance']:g}",
        highlight=False,
    )
    trained = found["all"]["recorded"]["epochs_trained"]
    console.print(f"the recorded study trained {trained} epochs", highlight=False)


def _budget(found: dict[str, Any]) -> str:
    trials = found["settings"]["trials"]
    if found["settings"]["budget"] == "trials":
        return f"{trials} trials"
    return f"{trials * found['epochs']} epochs"


def _means(replayed: dict[str, Any], which: str = "mean") -> list[str]:
    return [_shown(form, replayed[name][which]) for name, (_, form) in _COLUMNS.items()]


def _shown(form: str, value: float | None) -> str:
    return "" if value is None else form.format(value)
