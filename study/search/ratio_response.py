"""The best value of a method as a function of the imbalance ratio, by the model of all its trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from study.search.search_task import search_task
from study.search.trial_params import params_of
from study.spec.cell import Cell
from study.spec.search_tables import CellTrials
from trainables.core.metric_names import METRICS

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from study.search.ratio_evidence import Goal
    from study.spec.study_spec import StudySpec

FEWEST_TRIALS = 8
"""Complete trials of all cells together below which nothing is modelled."""
NEEDED = f"searched params, and {FEWEST_TRIALS} complete trials at two ratios or more"
"""What a method must have before it gets a response, for messages."""
_GRID = 33
_IN_BAND = 1.96
"""Standard deviations to either side: 95 % of a normal distribution."""
_WITHOUT_END = ("loss", "train_loss", "false_positive_distance")
"""Metrics that are no share in [0, 1]."""


SearchedCell = tuple[Cell, "Sequence[FrozenTrial]"]
"""A cell with its trials in the ledger."""


@dataclass(frozen=True)
class RatioResponse:
    """The expected result of a method's best setting, from the smallest ratio with a result to the largest.

    Attributes:
        dataset: the data set.
        profile_kind: the kind of profile, as names of cells have it, without the ratio.
        task: data set and kind of profile, as the search names it.
        method: the method's label.
        ratios: from the smallest to the largest one with a complete trial: those of the study, and others evenly on
            the logarithmic scale.
        mean: expected metric of the best setting without the noise of seeds, in the metric's own unit.
        low: lower end of the 95 % band of that value.
        high: its upper end.
        settings: that setting at each ratio, as natural params.
        trials: complete trials that the model rests on.
    """

    dataset: str
    profile_kind: str
    task: str
    method: str
    ratios: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    settings: tuple[dict[str, Any], ...]
    trials: int


def ratio_responses(spec: StudySpec, searched: Iterable[SearchedCell]) -> list[RatioResponse]:
    """Return the response of every method that was searched at several ratios, in the order of the study file.

    The model is that of the searcher ``ratio-gp``, whatever searcher proposed the trials. At each ratio the best of the
    settings that were tried is taken, by its expected value: the band is that of this setting, and says nothing of
    settings that nobody tried. Settings that are expected to break a constraint there are left out, and so is a ratio
    without another setting.

    Args:
        spec: the study.
        searched: all its cells.
    """
    groups = _groups(spec, searched)
    if not groups:
        return []
    from study.search.ratio_evidence import Goal  # with the model, which takes half a second to import

    metric, select_best = spec.search.metrics[0], spec.search.select == "best"
    maximize, epochs = METRICS[metric][1] == "maximize", spec.training.epochs
    most = math.inf if metric in _WITHOUT_END else 1.0
    found = (_response(own, Goal(maximize, epochs, select_best, own[0][0].pruning_start_epoch), most) for own in groups)
    return [response for response in found if response is not None]


def has_responses(spec: StudySpec, searched: Iterable[SearchedCell]) -> bool:
    """Return whether any method has the ratios and trials of a response. Fits nothing, and takes no time."""
    return bool(_groups(spec, searched))


def _groups(spec: StudySpec, searched: Iterable[SearchedCell]) -> list[list[SearchedCell]]:
    """Return the cells of every data set, kind of profile and method that have enough ratios and trials.

    A cell without a complete trial says nothing of its ratio, and is left out. So are failed trials: a search avoids
    them as if they were poor, but they are no results.
    """
    if len(spec.search.metrics) > 1:
        return []
    cells: list[SearchedCell] = [
        (cell, [trial for trial in trials if trial.state.name != "FAIL"])
        for cell, trials in searched
        if cell.base.data.folds is None and cell.space
    ]
    order = {name: i for i, (cell, _) in reversed([*enumerate(cells)]) for name in (cell.method, search_task(cell))}
    groups = groupby(
        sorted(cells, key=lambda one: (order[search_task(one[0])], order[one[0].method])),
        key=lambda one: (search_task(one[0]), one[0].method),
    )
    found = ([one for one in own if _complete([one])] for _, own in groups)
    return [own for own in found if len({cell.ratio for cell, _ in own}) > 1 and len(_complete(own)) >= FEWEST_TRIALS]


def _complete(cells: Iterable[SearchedCell]) -> list[tuple[Cell, FrozenTrial]]:
    return [(cell, trial) for cell, trials in cells for trial in trials if trial.state.name == "COMPLETE"]


def _response(cells: list[SearchedCell], goal: Goal, most: float) -> RatioResponse | None:
    import numpy as np

    from study.search.method_model import MethodModel, NothingToFit, constraint_models
    from study.search.ratio_evidence import Evidence

    first, task = cells[0][0], search_task(cells[0][0])
    ratios = [cell.ratio for cell, _ in cells]
    complete = _complete(cells)
    evidence = Evidence(first.space, [CellTrials(one.name, task, one.ratio, trials) for one, trials in cells], goal)
    try:
        model = MethodModel(evidence)
    except NothingToFit:
        return None
    if not any(all(at <= 0 for at in trial.constraints.values()) for _, trial in complete):
        return None
    limits = list(constraint_models(evidence))
    settings = [params_of(trial, cell.space) for cell, trial in complete]
    grid = _grid(ratios)
    best: dict[float, tuple[float, float]] = {}
    chosen: list[dict[str, Any]] = []
    for ratio in grid:
        allowed = np.ones(len(settings), dtype=bool)
        for limit in limits:
            allowed &= limit.satisfied_at(settings, ratio, task)
        if allowed.any():
            mean, deviation = model.expect_at(settings, ratio, task)
            index = int(np.where(allowed, goal.sign * mean, -np.inf).argmax())
            best[ratio] = float(mean[index]), _IN_BAND * float(deviation[index])
            chosen.append(settings[index])
    if len(best) < 2 or not all(math.isfinite(mean + width) for mean, width in best.values()):
        return None

    def inside(side: int) -> tuple[float, ...]:
        """Return mean, lower (-1) or upper end (1) of the band, inside the metric's range."""
        return tuple(min(most, max(0.0, mean + side * width)) for mean, width in best.values())

    return RatioResponse(
        first.dataset,
        first.profile.removesuffix(f"-{first.ratio:g}"),
        task,
        first.method,
        tuple(best),
        inside(0),
        inside(-1),
        inside(1),
        tuple(chosen),
        len(complete),
    )


def _grid(ratios: Sequence[float]) -> list[float]:
    """Return the given ratios, and others between the smallest and the largest."""
    low = min(ratios)
    step = math.log(max(ratios) / low) / (_GRID - 1)
    return sorted({*ratios, *(low * math.exp(index * step) for index in range(1, _GRID - 1))})
