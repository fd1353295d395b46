"""Figures of hyperparameters: best value against the ratio, response curves, importance, parallel coordinates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search_spaces import Choices, Dimension
from study.report.html.best_params import Movement, height, trend_of, value_at, written
from study.report.html.picture import Picture, panel, ratio_axis
from study.report.html.results import Unit
from study.store.study_view import CellView
from study.tracking.plots.palette import Style

Styles = dict[str, Style]
_SHORT, _WIDE_MARGIN = 5, 0.2
"""Most characters of a tick label that fit the margin of a panel, and the margin for longer ones, such as 0.99999."""


def movement_figure(move: Movement, styles: Styles, name: str) -> Picture:
    """Draw the best value of a param against the ratio: best trial, values within noise of it, and the trend's best."""
    style = styles[move.method]
    figure, axes = panel()
    title = f"Best {move.name} of {move.method}, {move.dataset} {move.family}, validation images"
    picture = Picture(name, title, figure)
    ratios = [value.ratio for value in move.values]
    shift = 1.06 if len(set(ratios)) > 1 else 1.03
    for value in move.values:
        low, high = value.interval
        middle = max(0.012, high - low)
        bar = axes.vlines(value.ratio, low, low + middle, color=style.colour, alpha=0.3, linewidth=11)
        picture.mark(bar, style)
        if value.trend is not None:
            ends = (value.trend.best_low, value.trend.best_high)
            at = value.ratio * shift
            picture.mark(axes.vlines(at, *ends, color="#555555", linewidth=1.2), style)
            (drawn,) = axes.plot([at], [value.trend.best], "_", color="#555555", markersize=9, markeredgewidth=2)
            picture.mark(drawn, style, [f"trend best at {value.trend_text}", ""])
    places = [height(value.dimension, value.best) for value in move.values]
    tips = [f"ratio {v.ratio:g}: best trial {v.best_text}; within noise {v.interval_text}" for v in move.values]
    line = {**_points(style), "linestyle": ":" if len(places) > 1 else "none", "linewidth": 1.2}
    (drawn,) = axes.plot(ratios, places, **line)
    picture.mark(drawn, style, tips if len(tips) > 1 else tips * 2)
    ratio_axis(axes, ratios)
    scale_axis(axes, move.values[0].dimension, "y")
    if max(len(label.get_text()) for label in axes.get_yticklabels()) > _SHORT:
        figure.subplots_adjust(left=_WIDE_MARGIN)
    axes.set_ylabel(move.name)
    axes.set_title(f"{move.method}: best {move.name}\n{move.dataset} {move.family}, validation images")
    return picture


def _points(style: Style) -> dict[str, Any]:
    return {"color": style.colour, "marker": style.marker, "markersize": 6, "markeredgecolor": "white"}


def scale_axis(axes: object, dimension: Dimension, which: str) -> None:
    """Label an axis of heights with the values of a dimension."""
    if isinstance(dimension, Choices):
        ticks = [step / (len(dimension.choices) - 1) for step in range(len(dimension.choices))]
        labels = [written(choice) for choice in dimension.choices]
    else:
        ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
        values = [value_at(dimension, tick) for tick in ticks]
        labels = [f"{v:.2g}" if dimension.scale == "log" and abs(v) < 100 else written(v, dimension) for v in values]
    getattr(axes, f"set_{which}ticks")(ticks, labels)
    getattr(axes, f"set_{which}lim")(-0.06, 1.06)


def response_figure(cell: CellView, param: str, unit: Unit, styles: Styles, name: str) -> Picture:
    """Draw every complete trial's result against one param, with the trend and its 80 % band."""
    style, dimension = styles[cell.cell.method], cell.cell.space[param]
    figure, axes = panel()
    shown = param.removeprefix("training.")
    place = f"{cell.cell.dataset} {cell.cell.profile}"
    picture = Picture(name, f"{unit.name} of {style.method} against {shown}, {place}, validation images", figure)
    complete = [t for t in cell.in_state("COMPLETE") if t.value is not None and math.isfinite(t.value)]
    if not isinstance(dimension, Choices) and (trend := trend_of(cell, param)) is not None:
        band = axes.fill_between(
            trend.at, trend.low * unit.scale, trend.high * unit.scale, color=style.colour, alpha=0.15, linewidth=0
        )
        picture.mark(band, style)
        picture.mark(axes.plot(trend.at, trend.mean * unit.scale, color=style.colour, linewidth=1.4)[0], style)
    x = [height(dimension, trial.params[param]) for trial in complete]
    y = [unit.scale * (trial.value or 0.0) for trial in complete]
    (drawn,) = axes.plot(x, y, **_points(style) | {"linestyle": "none", "markersize": 5})
    tips = [
        f"trial {t.number}: {shown} {written(t.params[param], dimension)}, {unit.value(t.value or 0.0)}"
        for t in complete
    ]
    picture.mark(drawn, style, tips if len(tips) != 1 else tips * 2)
    scale_axis(axes, dimension, "x")
    axes.set_xlabel(shown)
    axes.set_ylabel(unit.axis)
    axes.set_title(f"{style.method}: {shown}\n{place}, validation images")
    return picture


def importance_figure(shares: Mapping[str, Mapping[str, float]], styles: Styles, name: str) -> Picture:
    """Draw the importance of each param of each method, mean over its cells, as bars."""
    bars = [(method, param, share) for method, own in shares.items() for param, share in own.items()]
    figure, axes = panel((4.4, max(1.6, 0.24 * len(bars) + 0.9)), fitted=True)
    picture = Picture(name, "Importance of params in the search, validation images", figure, named=True)
    for row, (method, param, share) in enumerate(bars):
        style = styles[method]
        (drawn,) = axes.barh(row, 100 * share, color=style.colour, height=0.7)
        picture.mark(drawn, style, [f"{method}, {param}: {100 * share:.0f} %"])
    axes.set_yticks(range(len(bars)), [f"{method}  {param.removeprefix('training.')}" for method, param, _ in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of importance (%)")
    axes.set_title("Importance, validation images")
    return picture


def parallel_figure(cell: CellView, unit: Unit, name: str) -> Picture:
    """Draw the complete trials of a cell as lines over its params; bright lines are good trials."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    complete = [t for t in cell.in_state("COMPLETE") if t.value is not None and math.isfinite(t.value)]
    complete.sort(key=lambda trial: (trial.value or 0.0) * (1 if cell.maximize else -1))
    space = cell.cell.space
    figure, axes = panel((max(4.4, 1.3 * len(space) + 1.6), 3.3), fitted=True)
    place = f"{cell.cell.dataset} {cell.cell.profile}"
    picture = Picture(name, f"Parallel coordinates of {cell.cell.method}, {place}, validation images", figure)
    values = np.array([unit.scale * (trial.value or 0.0) for trial in complete])
    norm = Normalize(*_ends(values))
    colours = colormaps["cividis" if cell.maximize else "cividis_r"]
    for trial, value in zip(complete, values, strict=True):
        heights = [height(dimension, trial.params[param]) for param, dimension in space.items()]
        (drawn,) = axes.plot(range(len(space)), heights, color=colours(norm(value)), linewidth=1.3, alpha=0.9)
        params = ", ".join(f"{p.removeprefix('training.')} {written(v, space[p])}" for p, v in trial.params.items())
        picture.mark(drawn, None, [f"trial {trial.number}: {unit.value(trial.value or 0.0)}; {params}"])
    for column, (_, dimension) in enumerate(space.items()):
        axes.axvline(column, color="#666666", linewidth=0.8)
        for place_, text in _ends_of(dimension):
            axes.text(column + 0.03, place_, text, fontsize=7.5, color="#444444", va="center")
    axes.set_xticks(range(len(space)), [param.removeprefix("training.") for param in space])
    axes.set_xlim(-0.1, len(space) - 1 + 0.35)
    axes.set_ylim(-0.08, 1.08)
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label=unit.axis)
    axes.set_title(f"{cell.cell.method}\n{place}, validation images")
    return picture


def _ends(values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ends_of(dimension: Dimension) -> list[tuple[float, str]]:
    if isinstance(dimension, Choices):
        last = len(dimension.choices) - 1
        return [(step / last, written(choice)) for step, choice in enumerate(dimension.choices)]
    return [(end + (0.05 if end else -0.05), written(value_at(dimension, end), dimension)) for end in (0.0, 1.0)]
