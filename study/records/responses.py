"""Response curves of a cell: the metric over every searched value. Few are drawn, so matplotlib may take its time."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

from search_spaces import Choices, Dimension, Range
from study.views import CellView, TrialView

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS: dict[str, dict[str, Any]] = {
    "COMPLETE": {"color": "#2171b5", "s": 26, "label": "complete"},
    "PRUNED": {"facecolors": "none", "edgecolors": "#8c8c8c", "s": 22, "label": "pruned, at its last epoch"},
}
_PAPER: dict[str, Any] = {"marker": "*", "s": 170, "color": "#d95f0e", "zorder": 3, "label": "paper's setting"}


def response_picture(cell: CellView) -> bytes:
    """Draw the study's metric over every searched value as PNG, a panel each; the paper's setting is marked.

    Args:
        cell: a cell in which something is searched.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(cell.cell.space)
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(max(5.0, 4.0 * columns), 3.2 * rows + 0.6), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, name in zip(panels, names, strict=False):
        _draw(panel, cell, name)
    for panel in panels[len(names) :]:
        panel.set_visible(False)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(cell.cell.name, fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw(panel: Axes, cell: CellView, name: str) -> None:
    dimension = cell.cell.space[name]
    shown = [t for t in cell.in_state(*_LOOKS) if name in t.values and t.value is not None]
    for state, look in _LOOKS.items():
        _scatter(panel, [t for t in shown if t.state == state], name, dimension, look)
    _scatter(panel, [t for t in shown if t.origin == "paper"], name, dimension, _PAPER)
    _scale(panel, dimension)
    panel.set_xlabel(name)
    panel.set_ylabel(cell.metric)
    panel.grid(color="#e6e6e6")
    panel.set_axisbelow(True)


def _scatter(panel: Axes, trials: list[TrialView], name: str, dimension: Dimension, look: dict[str, Any]) -> None:
    places = [_place(dimension, trial.values[name]) for trial in trials]
    if places:
        panel.scatter(places, [trial.value or 0.0 for trial in trials], **look)


def _place(dimension: Dimension, value: Any) -> float:
    """Return where a value stands: its own scale is the one that the searcher samples in."""
    if isinstance(dimension, Choices):
        return float(dimension.choices.index(value)) if value in dimension.choices else -1.0
    return dimension.encode(value)


def _scale(panel: Axes, dimension: Dimension) -> None:
    """Name choices; space a range as it is searched, with its natural values rising to the right."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if isinstance(dimension, Choices):
        panel.set_xticks(range(len(dimension.choices)), [str(choice) for choice in dimension.choices])
        panel.set_xlim(-0.5, len(dimension.choices) - 0.5)
        return
    if dimension.scale != "linear":
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{_natural(dimension, x):g}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
    if _natural(dimension, 2.0) < _natural(dimension, 1.0):
        panel.invert_xaxis()


def _natural(dimension: Range, sampled: float) -> float:
    return float(dimension.model_copy(update={"integer": False}).decode(sampled))
