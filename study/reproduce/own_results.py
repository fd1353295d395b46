"""Our value of a published figure, read from a stored study: confirmed, of one trial of a grid, or over folds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from search_spaces.dimension import same_value
from study.report.confirmed_results import rows_of
from study.report.cross_validation import folded_settings
from study.reproduce.published import Place
from study.store.study_view import CellView, StudyView, TrialView

Images = Literal["test", "validation", "folds"]
"""Images that a value of ours is of; ``validation`` are held-out training images."""


@dataclass(frozen=True)
class Own:
    """Our value in percent: mean and sample deviation over ``n`` trainings, and the images it is of."""

    mean: float
    deviation: float | None
    n: int
    images: Images


def own_result(view: StudyView, place: Place, *, error: bool = False) -> Own | None:
    """Return our value at a place, or None while there is none.

    Args:
        view: the stored study that trains it.
        place: where the figure is found.
        error: return 100 - metric.
    """
    cells = [cell for cell in view.cells if (cell.cell.dataset, cell.cell.method) == (place.dataset, place.method)]
    metric = place.metric or "balanced_accuracy"
    folds = [cell for cell in cells if cell.cell.base.data.folds is not None]
    if folds:
        found = _over_folds([cell for cell in folds if cell.cell.profile.startswith(f"{place.profile}-fold")], metric)
    else:
        cell = next((cell for cell in cells if cell.cell.profile == place.profile), None)
        if cell is None:
            return None
        found = _confirmed(view, cell, metric) if place.params is None else _of_trial(cell, place, metric)
    return _as_error(found) if error and found is not None else found


def _confirmed(view: StudyView, cell: CellView, metric: str) -> Own | None:
    row = next((row for row in rows_of(view, cell) if row.setting == "best"), None)
    if row is None or not row.n or not math.isfinite(row.mean(metric)):
        return None
    deviation = row.deviation(metric)
    return Own(100 * row.mean(metric), 100 * deviation if math.isfinite(deviation) else None, row.n, "test")


def _of_trial(cell: CellView, place: Place, metric: str) -> Own | None:
    trial = next((one for one in cell.in_state("COMPLETE") if _has(one, place)), None)
    value = None if trial is None else trial.result().get(metric)
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    judged: Images = "test" if cell.cell.base.data.protocol == "test-select" else "validation"
    return Own(100 * value, None, 1, judged)


def _has(trial: TrialView, place: Place) -> bool:
    params = {**trial.cell.base.method.params, **trial.params}
    return all(same_value(params.get(name), value) for name, value in (place.params or {}).items())


def _over_folds(cells: list[CellView], metric: str) -> Own | None:
    if not cells or cells[0].metric != metric:
        return None
    settings = folded_settings(cells)
    if not settings:
        return None
    best = settings[0]
    return Own(100 * best.mean, 100 * best.deviation, len(best.values), "folds")


def _as_error(own: Own) -> Own:
    return Own(100 - own.mean, own.deviation, own.n, own.images)
