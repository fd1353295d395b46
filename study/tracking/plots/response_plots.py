"""Response plots of a cell: the study's metric over every searched param, one panel each."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from search_spaces import Choices, Dimension, Range
from study.store.study_view import CellView, TrialView
from study.tracking.plots.drawing import escaped, short
from study.tracking.run_shown import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_WIDTH, _HEIGHT, _AROUND, _NARROWEST = 3.8, 2.8, 0.9, 5.2
"""Panel width and height, margin above and below the panels, minimum width for the legend, all in inches."""
_PIXELS = 100
"""Pixels per inch."""
_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#666666"
"""Blue and vermilion differ in every kind of colour vision (Okabe and Ito, 2008, "Color universal design")."""
_MARKS: dict[str, dict[str, Any]] = {
    "pruned, at its last epoch": {"marker": "o", "facecolors": "none", "edgecolors": _GREY, "s": 26},
    "complete": {"marker": "o", "color": _BLUE, "s": 26},
    "first": {"marker": "*", "color": _ORANGE, "s": 150, "edgecolors": "black", "linewidths": 0.6},
}
"""Trial kind -> marker, in drawing order: the last is on top. The first trial is labelled by its preset's name."""


def response_picture(cell: CellView) -> bytes:
    """Plot the metric over every searched param as PNG.

    The x axis is the searched range, on the search scale. Complete trials are dots. Pruned trials are circles at the
    metric of their last epoch. Trial 0 is a star, labelled by the name of its preset.

    Args:
        cell: a cell with searched params and at least one complete or pruned trial.
    """
    # not pyplot, which retains figures and is not thread-safe; imported here because it takes half a second
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(cell.cell.space)
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    size = (max(columns * _WIDTH, _NARROWEST), rows * _HEIGHT + _AROUND)
    figure = Figure(figsize=size, dpi=_PIXELS, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    trials = [trial for trial in cell.in_state("COMPLETE", "PRUNED") if trial.value is not None]
    for panel, name in zip(panels, names, strict=False):
        _draw(panel, name, cell.cell.space[name], trials, cell.cell.base.method.preset)
    for panel in panels[::columns]:
        panel.set_ylabel(escaped(f"validation {cell.metric}"))
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    figure.suptitle(escaped(f"{cell.cell.name}: trials on validation images"), fontsize=11)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    buffer = io.BytesIO()
    canvas.print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _draw(panel: Axes, name: str, dimension: Dimension, trials: Sequence[TrialView], preset: str) -> None:
    for kind, look in _MARKS.items():
        points = [
            (place, trial.value or 0.0)
            for trial in trials
            if _kind(trial) == kind and name in trial.params
            for place in [_place(dimension, trial.params[name])]
            if place is not None
        ]
        label = f"preset {preset}" if kind == "first" else kind
        panel.scatter([x for x, _ in points], [y for _, y in points], label=label, zorder=3, **look)
    panel.set_xlim(-0.04, 1.04)
    ticks = _ticks(dimension)
    panel.set_xticks([place for place, _ in ticks], [label for _, label in ticks])
    scale = "" if isinstance(dimension, Choices) or dimension.scale == "linear" else f" ({dimension.scale} scale)"
    panel.set_xlabel(escaped(plain(name)) + scale)
    panel.tick_params(labelsize=9, labelleft=True)
    panel.grid(color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)


def _kind(trial: TrialView) -> str:
    if trial.number == 0:
        return "first"
    return "complete" if trial.state == "COMPLETE" else "pruned, at its last epoch"


def _place(dimension: Dimension, value: Any) -> float | None:
    """Return a value's position in the range, from 0 to 1, on the search scale."""
    if isinstance(dimension, Choices):
        choices = dimension.choices
        return (choices.index(value) + 0.5) / len(choices) if value in choices else None
    place = dimension.to_unit(value)
    return 1 - place if dimension.descending else place


def _ticks(dimension: Dimension) -> list[tuple[float, str]]:
    values = dimension.choices if isinstance(dimension, Choices) else _range_ticks(dimension)
    placed = ((_place(dimension, value), short(_label(value), 10)) for value in values)
    return [(place, escaped(label)) for place, label in placed if place is not None]


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range_ticks(dimension: Range) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    if dimension.scale == "linear":
        found = MaxNLocator(5, integer=dimension.integer).tick_values(dimension.low, dimension.high)
        return [round(float(tick), 12) for tick in found if dimension.low <= tick <= dimension.high]
    low, high = sorted(math.log10(dimension.encode(end)) for end in (dimension.low, dimension.high))
    powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    if len(powers) < 2:
        return [dimension.low, dimension.high]
    return [dimension.decode(10.0**power) for power in powers[:: math.ceil(len(powers) / 6)]]
