"""The best value of a method as a function of the imbalance ratio, by the model of all its trials."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from study.search.method_model import MethodModel, NothingToFit
from study.search.ratio_evidence import Evidence, Goal
from study.search.search_task import search_task
from study.spec.search_tables import CellTrials
from study.spec.study_spec import StudySpec
from study.store.study_view import CellView, StudyView

FEWEST_TRIALS = 8
"""Complete trials of all cells together below which nothing is modelled."""
_GRID = 33
_IN_BAND = 1.96
"""Standard deviations to either side: 95 % of a normal distribution."""
_WITHOUT_END = ("loss", "train_loss", "false_positive_distance")
"""Metrics that are no share in [0, 1]."""


@dataclass(frozen=True)
class RatioResponse:
    """What the best setting of a method is expected to reach at every ratio between the smallest and the largest one.

    Attributes:
        dataset: the data set.
        kind: data set and kind of profile, as the search names it.
        method: the method's label.
        ratios: from the smallest to the largest one, evenly on the logarithmic scale.
        mean: expected metric of the best setting without the noise of seeds, in the metric's own unit.
        low: lower end of the 95 % band of that value.
        high: its upper end.
        trials: complete trials that the model rests on.
    """

    dataset: str
    kind: str
    method: str
    ratios: tuple[float, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    trials: int


def ratio_responses(view: StudyView) -> list[RatioResponse]:
    """Return the response of every method that was searched at several ratios, in the order of the study file.

    The model is that of the searcher ``ratio-gp``, whatever searcher proposed the trials. At each ratio the best of the
    settings that were tried is taken, by its expected value: the band is that of this setting, and says nothing of
    settings that nobody tried.
    """
    spec = view.spec
    if len(spec.search.metrics) > 1:
        return []
    cells = [cell for cell in view.cells if cell.cell.base.data.folds is None and cell.cell.space]
    order = {cell.cell.method: index for index, cell in reversed(list(enumerate(cells)))}
    groups = groupby(
        sorted(cells, key=lambda cell: (search_task(cell.cell), order[cell.cell.method])),
        key=lambda cell: (search_task(cell.cell), cell.cell.method),
    )
    most = math.inf if spec.search.metrics[0] in _WITHOUT_END else 1.0
    found = (_response(spec, task, method, list(own), most) for (task, method), own in groups)
    return [response for response in found if response is not None]


def _response(spec: StudySpec, task: str, method: str, cells: list[CellView], most: float) -> RatioResponse | None:
    ratios = [cell.cell.ratio for cell in cells]
    complete = [trial for cell in cells for trial in cell.in_state("COMPLETE")]
    if len(set(ratios)) < 2 or len(complete) < FEWEST_TRIALS:
        return None
    earlier = cells[0].cell.pruning_start_epoch
    goal = Goal(cells[0].maximize, spec.training.epochs, spec.search.select == "best", earlier)
    trials = [CellTrials(cell.cell.name, task, cell.cell.ratio, cell.frozen) for cell in cells]
    try:
        model = MethodModel(Evidence(cells[0].cell.space, trials, goal))
    except NothingToFit:
        return None
    settings = [trial.params for trial in complete]
    grid = _between(min(ratios), max(ratios))
    best = []
    for ratio in grid:
        mean, deviation = model.expect_at(settings, ratio, task)
        index = int((goal.sign * mean).argmax())
        best.append((float(mean[index]), _IN_BAND * float(deviation[index])))
    if not all(math.isfinite(mean + width) for mean, width in best):
        return None
    return RatioResponse(
        cells[0].cell.dataset,
        task,
        method,
        tuple(grid),
        tuple(mean for mean, _ in best),
        tuple(max(0.0, mean - width) for mean, width in best),
        tuple(min(most, mean + width) for mean, width in best),
        len(complete),
    )


def _between(low: float, high: float) -> Iterable[float]:
    step = math.log(high / low) / (_GRID - 1)
    return [low * math.exp(index * step) for index in range(_GRID)]
