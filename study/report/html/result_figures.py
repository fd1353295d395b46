"""Figures of results: the metric against the ratio, recall against class frequency, confusion, mean ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from study.report.html.class_results import ClassResults, ConfusionChange
from study.report.html.picture import INK, Picture, look, panel, ratio_axis
from study.report.html.results import Place, Results
from study.report.ranks import Ranks
from study.tracking.plots.palette import BASELINE, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Styles = dict[str, Style]
_ANNOTATED = 12
"""Most classes whose confusion is also written as numbers."""


def ratio_figure(results: Results, places: Sequence[Place], styles: Styles, name: str) -> Picture:
    """Draw the metric against the imbalance ratio, with a band of one standard deviation over seeds or folds.

    With a single ratio the methods stand side by side.
    """
    unit, (dataset, family) = results.unit, places[0].group
    figure, axes = panel()
    picture = Picture(name, f"{dataset} {family}: {unit.name}, {results.images} images", figure)
    many = sum(style.shown for style in styles.values()) > 7
    aside = {
        method: 1.03 ** (rank - (len(styles) - 1) / 2) if len(places) == 1 else 1.0
        for rank, method in enumerate(styles)
    }
    means: list[float] = []
    for style in sorted(styles.values(), key=lambda style: (style.shown, -style.index)):
        line = [(place, place.scores[style.method]) for place in places if style.method in place.scores]
        line = [(place, score) for place, score in line if math.isfinite(score.mean)]
        if not line:
            continue
        x = [place.ratio * aside[style.method] for place, _ in line]
        mean = np.array([score.mean for _, score in line]) * unit.scale
        means += mean.tolist()
        spread = np.nan_to_num(np.array([score.deviation for _, score in line])) * unit.scale
        if spread.any() and style.shown:
            band = axes.fill_between(x, mean - spread, mean + spread, color=style.colour, alpha=0.14, linewidth=0)
            picture.mark(band, style)
            if len(line) == 1 or many:
                picture.mark(axes.vlines(x, mean - spread, mean + spread, color=style.colour, linewidth=1), style)
        tips = [
            f"{style.method}, ratio {place.ratio:g}: {spread_text(results, place, style.method)}" for place, _ in line
        ]
        (drawn,) = axes.plot(x, mean, **look(style))
        picture.mark(drawn, style, tips if len(tips) > 1 else tips * 2)
    ratio_axis(axes, [place.ratio for place in places])
    _follow_means(axes, means)
    axes.set_ylabel(unit.axis)
    axes.set_title(f"{dataset} {family}, {results.images} images")
    return picture


def _follow_means(axes: Axes, means: Sequence[float]) -> None:
    """Let the y axis end near the means: the band of a method with one failed seed would flatten all lines."""
    if not means:
        return
    low, high = min(means), max(means)
    room = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    axes.set_ylim(low - room, high + room)


def spread_text(results: Results, place: Place, method: str) -> str:
    """Return mean and deviation of a method at a place as text."""
    score, unit = place.scores[method], results.unit
    if not math.isfinite(score.deviation):
        return unit.value(score.mean)
    return f"{unit.value(score.mean)} ± {unit.value(score.deviation)} ({score.n} {results.over})"


def frequency_figure(results: Results, place: Place, found: ClassResults, styles: Styles, name: str) -> Picture:
    """Draw the recall of every class against its number of training images, a line per method."""
    figure, axes = panel()
    title = f"{place.name}: recall against class frequency, {results.images} images"
    picture = Picture(name, title, figure)
    order = np.argsort(-np.asarray(found.counts), kind="stable")
    counts = np.asarray(found.counts)[order]
    for style in sorted(styles.values(), key=lambda style: (style.shown, -style.index)):
        if style.method not in found.recall:
            continue
        values = 100 * found.recall[style.method].mean(axis=0)[order]
        tips = [
            f"{style.method}, class {found.names[k]} ({found.counts[k]} training images): {value:.1f} %"
            for k, value in zip(order, values, strict=True)
        ]
        many = len(values) > 30
        args = look(style, 2.5 if many else 4.5) | ({"linestyle": "none"} if many else {})
        (drawn,) = axes.plot(counts, values, **args)
        picture.mark(drawn, style, tips)
        if many:
            smooth = np.convolve(np.pad(values, 7, mode="edge"), np.ones(15) / 15, mode="valid")
            picture.mark(axes.plot(counts, smooth, color=style.colour, linewidth=1.6)[0], style)
    axes.set_xscale("log")
    axes.invert_xaxis()
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training images of the class (frequent left, rare right)")
    axes.set_ylabel("recall (%)")
    axes.set_title(f"{place.name}, {results.images} images")
    return picture


def confusion_figure(change: ConfusionChange, images: str, name: str) -> Picture:
    """Draw the confusion matrix of one method minus that of another, in points of the true class."""
    size = len(change.names)
    side = min(7.5, max(4.2, 0.42 * size + 1.6))
    figure, axes = panel((side, side * 0.86), fitted=True)
    title = f"{change.place}: {change.method} minus {change.against}, {images} images"
    picture = Picture(name, title, figure)
    points = 100 * change.difference
    most = max(1e-9, float(np.abs(points).max()))
    drawn = axes.imshow(points, cmap="PuOr_r", vmin=-most, vmax=most)
    axes.grid(visible=False)
    if size <= _ANNOTATED:
        for row, column in np.ndindex(points.shape):
            value = points[row, column]
            if abs(value) >= 0.05:
                ink = "white" if abs(value) > 0.6 * most else INK
                axes.text(column, row, f"{value:+.1f}", ha="center", va="center", fontsize=6.5, color=ink)
    if size <= 30:
        labels = [name if len(name) <= 12 else name[:11] + "…" for name in change.names]
        axes.set_xticks(range(size), labels, rotation=0 if max(map(len, labels)) < 3 else 90)
        axes.set_yticks(range(size), labels)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class (frequent first)")
    axes.set_title(f"{change.place}, {images} images:\n{change.method} minus {change.against}")
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="change in points of the true class")
    return picture


def rank_figure(ranks: Ranks, styles: Styles, images: str, name: str) -> Picture:
    """Draw a critical-difference diagram: bars join methods whose mean ranks do not differ significantly."""
    count = len(ranks.methods)
    half = math.ceil(count / 2)
    groups = ranks.groups()
    figure, axes = panel((6.6, 1.3 + 0.2 * half + 0.13 * len(groups)), fitted=True)
    picture = Picture(
        name,
        f"Critical differences of mean ranks over {ranks.places} cells, {images} images",
        figure,
        wide=True,
        named=True,
    )
    low, high = 1.0, float(count)
    axes.set_xlim(low - 0.42 * (high - low), high + 0.42 * (high - low))
    axes.axis("off")
    axes.plot([low, high], [0, 0], color=INK, linewidth=1)
    step = max(1, round(count / 10))
    for tick in range(1, count + 1, step):
        axes.plot([tick, tick], [0, 0.25], color=INK, linewidth=1)
        axes.text(tick, 0.4, str(tick), ha="center", fontsize=8)
    if ranks.critical < high - low:
        axes.plot([low, low + ranks.critical], [1.6, 1.6], color=INK, linewidth=2, solid_capstyle="butt")
    axes.text(low, 1.8, f"critical difference {ranks.critical:.2f}", fontsize=8)
    top = -0.5
    for row, (first, last) in enumerate(groups):
        y = top - 0.45 * row
        ends = [ranks.mean[first] - 0.03 * (high - low) / 5, ranks.mean[last] + 0.03 * (high - low) / 5]
        axes.plot(ends, [y, y], color="#555555", linewidth=3.5, solid_capstyle="round")
    bottom = top - 0.45 * len(groups) - 0.3
    for position, (method, rank) in enumerate(zip(ranks.methods, ranks.mean, strict=True)):
        left = position < half
        row = position if left else count - 1 - position
        y, edge = bottom - 0.75 * row, (low - 0.05 * (high - low) if left else high + 0.05 * (high - low))
        style = styles[method]
        colour = style.colour if style.shown else "#777777"
        picture.mark(axes.plot([rank, rank, edge], [0, y, y], color=colour, linewidth=1.2)[0], style)
        weight = "bold" if colour == BASELINE else "normal"
        gap = 0.02 * (high - low)
        said = axes.text(
            edge - gap if left else edge + gap,
            y,
            f"{method} {rank:.2f}",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
            color=colour,
            fontweight=weight,
        )
        picture.mark(said, style)
    axes.set_ylim(bottom - 0.75 * (half - 1) - 0.6, 2.6)
    axes.set_title(f"Mean ranks over {ranks.places} cells, {images} images (1 is best)")
    return picture
