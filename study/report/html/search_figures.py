"""Figures of the search: the best result so far, and what its model expects at every ratio."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from study.report.html.picture import Picture, look, panel, ratio_axis
from study.report.html.results import Place, Unit
from study.search.ratio_response import RatioResponse
from study.store.study_view import CellView
from study.tracking.plots.palette import Style


def best_so_far(cell: CellView) -> list[tuple[int, float]]:
    """Return (epochs trained in the cell, best complete result so far) at the end of each trial that improved it.

    The trials count in the order in which they ended; the last pair repeats the best at the cell's last epoch.
    """
    ended = sorted(cell.in_state("COMPLETE", "PRUNED", "FAIL"), key=lambda t: (t.ended or datetime.max, t.number))
    spent, best, found = 0, math.nan, []
    for trial in ended:
        spent += trial.epochs_trained
        value = trial.value if trial.state == "COMPLETE" else None
        if value is None or not math.isfinite(value):
            continue
        if math.isnan(best) or (value > best if cell.maximize else value < best):
            best = value
            found.append((spent, best))
    return [*found, (spent, best)] if found and found[-1][0] < spent else found


def model_figure(
    responses: Sequence[RatioResponse], places: Sequence[Place], unit: Unit, styles: dict[str, Style], name: str
) -> Picture:
    """Draw what the model expects of each method's best setting against the ratio, with its band and the best trials.

    Args:
        responses: of one data set and kind of profile.
        places: of the same, for the best trials and the axis.
        unit: the metric of the search.
        styles: method -> style.
        name: the picture's name.
    """
    dataset, family = places[0].group
    figure, axes = panel()
    title = f"{dataset} {family}: {unit.name} of the best setting by the model, validation images"
    picture = Picture(name, title, figure)
    for response in responses:
        style = styles[response.method]
        if not style.shown:
            continue
        ratios = np.array(response.ratios)
        mean, low, high = (unit.scale * np.array(line) for line in (response.mean, response.low, response.high))
        band = axes.fill_between(ratios, low, high, color=style.colour, alpha=0.14, linewidth=0)
        picture.mark(band, style)
        (drawn,) = axes.plot(ratios, mean, **{**look(style), "marker": "none"})
        picture.mark(drawn, style)
        best = [(place.ratio, cell.best()) for place in places for cell in place.cells.get(style.method, ())]
        points = [(ratio, trial.value) for ratio, trial in best if trial is not None and trial.value is not None]
        if points:
            (dots,) = axes.plot(
                [ratio for ratio, _ in points],
                [unit.scale * value for _, value in points],
                **{**look(style), "linestyle": "none"},
            )
            tips = [f"{style.method}, ratio {ratio:g}: best trial {unit.value(value)}" for ratio, value in points]
            picture.mark(dots, style, tips if len(tips) > 1 else tips * 2)
    ratio_axis(axes, [place.ratio for place in places])
    axes.set_ylabel(unit.axis)
    axes.set_title(f"{dataset} {family}, validation images")
    return picture


def progress_figure(place: Place, unit: Unit, styles: dict[str, Style], name: str) -> Picture:
    """Draw the best so far against epochs trained, a staircase per method."""
    figure, axes = panel()
    picture = Picture(name, f"Best so far against epochs trained, {place.name}, validation images", figure)
    for style in sorted(styles.values(), key=lambda style: (style.shown, -style.index)):
        for cell in place.cells.get(style.method, ()):
            steps = best_so_far(cell)
            if not steps:
                continue
            x, y = zip(*steps, strict=True)
            dashes: dict[str, Any] = {} if not style.dash else {"dashes": style.dash}
            (drawn,) = axes.plot(
                x,
                [unit.scale * value for value in y],
                drawstyle="steps-post",
                color=style.colour,
                linewidth=1.6 if style.shown else 0.8,
                **dashes,
            )
            picture.mark(drawn, style, [f"{style.method}: {unit.value(y[-1])} after {x[-1]} epochs"])
            marks: dict[str, Any] = {
                "linestyle": "none",
                "marker": style.marker,
                "markersize": 4.5,
                "color": style.colour,
            }
            tips = [f"{style.method}: {unit.value(value)} after {epochs} epochs" for epochs, value in steps]
            if style.shown:
                (drawn,) = axes.plot(x, [unit.scale * value for value in y], **marks)
                picture.mark(drawn, style, tips if len(tips) > 1 else tips * 2)
    axes.set_xlim(left=0)
    axes.set_xlabel("epochs trained in the cell")
    axes.set_ylabel(f"best {unit.axis}")
    axes.set_title(f"{place.name}, validation images")
    return picture
