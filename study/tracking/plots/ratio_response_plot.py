"""Plot of what the best setting of every method is expected to reach at every imbalance ratio, with its band."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from study.tracking.plots.drawing import escaped
from study.tracking.plots.palette import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from study.search.ratio_response import RatioResponse

_COLUMNS = 2
_WIDTH, _HEIGHT, _LEGEND_ROW, _AROUND = 6.4, 4.2, 0.24, 0.9
"""Panel width and height, height of a row of the legend, margin above and below the panels, all in inches."""
_PIXELS = 100
"""Pixels per inch."""
_IN_A_ROW = 4
"""Methods in a row of the legend below one panel."""
_TITLE = "The best setting of every method against the imbalance ratio"
_CAPTION = "Line and 95 % band: one model of all trials of the method. Points: best trial of a cell."


@dataclass(frozen=True)
class BestTrial:
    """The best complete trial of a cell: task and method as `RatioResponse` has them, ratio, and metric."""

    task: str
    method: str
    ratio: float
    value: float


def ratio_response_picture(
    responses: Sequence[RatioResponse], best: Sequence[BestTrial], styles: Mapping[str, Style], metric: str
) -> bytes:
    """Draw responses as PNG.

    Args:
        responses: at least one.
        best: the best trial of every cell; those of methods without a response are left out.
        styles: method -> style.
        metric: the study's metric.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(ratio_response_figure(responses, best, styles, metric))
    buffer = io.BytesIO()
    canvas.print_png(buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def ratio_response_figure(
    responses: Sequence[RatioResponse], best: Sequence[BestTrial], styles: Mapping[str, Style], metric: str
) -> Figure:
    """Draw a panel per data set and kind of profile; arguments as in `ratio_response_picture`."""
    from matplotlib.figure import Figure  # not pyplot, which retains figures and is not thread-safe
    from matplotlib.lines import Line2D

    tasks = list(dict.fromkeys(one.task for one in responses))
    methods = [method for method in styles if any(one.method == method for one in responses)]
    columns = min(_COLUMNS, len(tasks))
    rows, legend_rows = math.ceil(len(tasks) / columns), math.ceil(len(methods) / (_IN_A_ROW * columns))
    size = (columns * _WIDTH, rows * _HEIGHT + legend_rows * _LEGEND_ROW + _AROUND)
    figure = Figure(figsize=size, dpi=_PIXELS, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, task in zip(panels, tasks, strict=False):
        _draw(panel, [one for one in responses if one.task == task], [one for one in best if one.task == task], styles)
        panel.set_ylabel(escaped(f"validation {metric}"))
    for panel in panels[len(tasks) :]:
        panel.set_axis_off()
    figure.suptitle(f"{_TITLE}\n{_CAPTION}", fontsize=10)
    handles = [Line2D([], [], label=escaped(method), **_look(styles[method])) for method in methods]
    figure.legend(handles=handles, loc="outside lower center", ncols=_IN_A_ROW * columns, frameon=False, fontsize=9)
    return figure


def _draw(
    panel: Axes, responses: Sequence[RatioResponse], best: Sequence[BestTrial], styles: Mapping[str, Style]
) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    for one in sorted(responses, key=lambda one: (styles[one.method].shown, -styles[one.method].index)):
        style = styles[one.method]
        look, points = _look(style), [trial for trial in best if trial.method == one.method]
        if style.shown:
            panel.fill_between(one.ratios, one.low, one.high, color=style.colour, alpha=0.14, linewidth=0)
        panel.plot(one.ratios, one.mean, **{**look, "marker": "none"})
        panel.plot([p.ratio for p in points], [p.value for p in points], **{**look, "linestyle": "none"})
    ratios = sorted({trial.ratio for trial in best})
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(ratios))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticklabels([f"{ratio:g}" for ratio in ratios])
    panel.set_xlabel("imbalance ratio")
    panel.set_title(escaped(f"{responses[0].dataset} {responses[0].profile_kind}"), fontsize=10)
    panel.tick_params(labelsize=9)
    panel.grid(color="#dddddd", linewidth=0.8)
    panel.set_axisbelow(True)


def _look(style: Style) -> dict[str, Any]:
    return {
        "color": style.colour,
        "marker": style.marker,
        "markersize": 7 if style.shown else 3,
        "linewidth": 1.6 if style.shown else 0.8,
        "markeredgecolor": "white" if style.shown else style.colour,
        "markeredgewidth": 0.5,
        **({"dashes": style.dash} if style.dash else {}),
    }
