"""Reads the curves of a stored study and builds the surrogates of every cell."""

from __future__ import annotations

import numpy as np

from study.replay.surrogate import Curve, Surrogate
from study.spec.study_spec import StudySpec
from study.store.study_view import CellView, StudyView, TrialView
from trainables.core.errors import BadInput

Surrogates = dict[str, Surrogate]
"""Metric -> surrogate, for one cell."""

_DIVERGED = ("NonFiniteLoss", "is not a number")


def watched_metrics(spec: StudySpec) -> tuple[str, ...]:
    """Return the metrics reported to the ledger; the first is the objective."""
    return spec.search.recorded


def read_surrogates(view: StudyView, spec: StudySpec) -> dict[str, Surrogates]:
    """Return name of a cell -> its surrogates.

    Args:
        view: the recorded study.
        spec: the study to replay; it names the metrics.

    Raises:
        BadInput: no trial of a cell has an epoch with the metric.
    """
    return {cell.cell.name: {m: _surrogate(view, cell, m) for m in watched_metrics(spec)} for cell in view.cells}


def _surrogate(view: StudyView, cell: CellView, metric: str) -> Surrogate:
    epochs, decided = cell.cell.base.training.epochs, view.spec.search.metrics[0]
    curves = [_curve(trial, cell, metric, decided, epochs) for trial in cell.trials]
    curves = [curve for curve in curves if set(curve.values) == set(cell.cell.space)]
    if not any(curve.length and not curve.diverged for curve in curves):
        raise BadInput(
            f"study '{view.folder.name}': no trial of {cell.cell.name} has an epoch with {metric}; "
            f"a cell can be replayed from the curve of one trial at least"
        )
    return Surrogate(cell.cell.space, curves, epochs)


def _curve(trial: TrialView, cell: CellView, metric: str, decided: str, epochs: int) -> Curve:
    """Read a trial's curve from its folder, or from the ledger if the folder is missing."""
    found = {result["epoch"]: result.get(metric) for result in trial.history()}
    if metric == decided:
        found = {**cell.frozen[cell.trials.index(trial)].intermediate_values, **found}
    values = np.full(epochs, np.nan)
    for epoch, value in found.items():
        if isinstance(value, (int, float)) and 1 <= epoch <= epochs:
            values[epoch - 1] = value
    diverged = trial.state == "FAIL" and any(word in (trial.reason or "") for word in _DIVERGED)
    return Curve(trial.params, values, diverged)
