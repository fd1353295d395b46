"""Response curves of a cell: the study's metric over every searched value, a panel each."""

from __future__ import annotations

import math
from typing import Any

from PIL import Image, ImageDraw

from search_spaces import Choices, Dimension, Range
from study.store.study_view import CellView, TrialView
from study.tracking.plots.drawing import BLUE, GREY, INK, LINE, ORANGE, PAPER, font, png, round_ticks, short
from study.tracking.run_fields import plain

_SCALE = 2
"""Drawn so many times larger, then reduced: smooth shapes."""

_WIDTH, _HEIGHT, _HEAD, _FOOT = 380 * _SCALE, 270 * _SCALE, 40 * _SCALE, 36 * _SCALE
_COLUMNS = 3
_DOT, _STAR = 4 * _SCALE, 9 * _SCALE
_SMALL, _NORMAL = font(11 * _SCALE), font(12 * _SCALE)

Point = tuple[float, float]


def response_picture(cell: CellView) -> bytes:
    """Draw the metric over every searched value as PNG; an axis is the searched range, on the scale of the search.

    Complete trials are dots, pruned ones circles at the metric of their last epoch, the paper's setting is a star.

    Args:
        cell: a cell in which something is searched, with at least one trial that is complete or pruned.
    """
    names = list(cell.cell.space)
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    picture = Image.new("RGB", (columns * _WIDTH, _HEAD + rows * _HEIGHT + _FOOT), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((12 * _SCALE, 12 * _SCALE), f"{cell.cell.name}: {cell.metric}", fill=INK, font=font(13 * _SCALE))
    trials = [trial for trial in cell.in_state("COMPLETE", "PRUNED") if trial.value is not None]
    for index, name in enumerate(names):
        corner = (index % columns * _WIDTH, _HEAD + index // columns * _HEIGHT)
        _Panel(draw, corner, cell.cell.space[name], trials).draw(name)
    _legend(draw, picture.height - _FOOT // 2)
    return png(picture.reduce(_SCALE))


class _Panel:
    """One searched value: where its range and the metric's lie on the picture."""

    def __init__(
        self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], dimension: Dimension, trials: list[TrialView]
    ) -> None:
        self._draw, self._dimension, self._trials = draw, dimension, trials
        self._left, self._right = corner[0] + 62 * _SCALE, corner[0] + _WIDTH - 26 * _SCALE
        self._top, self._bottom = corner[1] + 8 * _SCALE, corner[1] + _HEIGHT - 46 * _SCALE
        values = [trial.value or 0.0 for trial in trials]
        margin = 0.06 * (max(values) - min(values)) or 0.01
        self._low, self._high = min(values) - margin, max(values) + margin

    def draw(self, name: str) -> None:
        """Draw axes, then the trials, the paper's setting on top."""
        draw, middle = self._draw, (self._left + self._right) / 2
        for tick in round_ticks(self._low, self._high):
            y = self._y(tick)
            draw.line((self._left, y, self._right, y), fill=LINE, width=_SCALE)
            draw.text((self._left - 6 * _SCALE, y), f"{tick:g}", fill=INK, font=_SMALL, anchor="rm")
        for place, label in self._x_ticks():
            x = self._x(place)
            draw.line((x, self._top, x, self._bottom), fill=LINE, width=_SCALE)
            draw.text((x, self._bottom + 6 * _SCALE), label, fill=INK, font=_SMALL, anchor="ma")
        draw.rectangle((self._left, self._top, self._right, self._bottom), outline=GREY, width=_SCALE)
        draw.text((middle, self._bottom + 24 * _SCALE), plain(name), fill=INK, font=_NORMAL, anchor="ma")
        for trial in sorted(self._trials, key=lambda trial: (trial.number == 0, trial.state == "COMPLETE")):
            if name in trial.params:
                self._mark(trial, trial.params[name])

    def _mark(self, trial: TrialView, value: Any) -> None:
        place = self._place(value)
        if place is not None:
            point = (self._x(place), self._y(trial.value or 0.0))
            (_star if trial.number == 0 else _dot if trial.state == "COMPLETE" else _circle)(self._draw, point)

    def _y(self, value: float) -> float:
        return self._bottom - (self._bottom - self._top) * (value - self._low) / (self._high - self._low)

    def _x(self, place: float) -> float:
        return self._left + (self._right - self._left) * place

    def _place(self, value: Any) -> float | None:
        """Return where a value lies in the range, from 0 to 1, on the scale that is searched."""
        dimension = self._dimension
        if isinstance(dimension, Choices):
            choices = dimension.choices
            return (choices.index(value) + 0.5) / len(choices) if value in choices else None
        low, high, here = (_sampled(dimension, end) for end in (dimension.low, dimension.high, value))
        return (here - low) / (high - low)

    def _x_ticks(self) -> list[tuple[float, str]]:
        dimension = self._dimension
        if isinstance(dimension, Choices):
            named = [(self._place(choice), short(_label(choice), 10)) for choice in dimension.choices]
        else:
            named = [(self._place(tick), _label(tick)) for tick in _range_ticks(dimension)]
        return [(place, label) for place, label in named if place is not None]


def _sampled(dimension: Range, value: float) -> float:
    """Return a value on the scale that is searched: itself, its logarithm, or that of -x or 1 - x."""
    if dimension.scale == "linear":
        return float(value)
    logarithm = math.log(dimension.encode(value))
    # what is sampled in place of the value falls as the value rises
    return logarithm if dimension.searched_name("") == "" else -logarithm


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _range_ticks(dimension: Range) -> list[float]:
    if dimension.scale == "linear":
        return round_ticks(dimension.low, dimension.high)
    low, high = sorted(math.log10(dimension.encode(end)) for end in (dimension.low, dimension.high))
    powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    if len(powers) < 2:
        return [dimension.low, dimension.high]
    return [dimension.decode(10.0**power) for power in powers[:: math.ceil(len(powers) / 6)]]


def _dot(draw: ImageDraw.ImageDraw, point: Point) -> None:
    draw.circle(point, _DOT, fill=BLUE)


def _circle(draw: ImageDraw.ImageDraw, point: Point) -> None:
    draw.circle(point, _DOT, outline=GREY, width=_SCALE)


def _star(draw: ImageDraw.ImageDraw, point: Point) -> None:
    corners = []
    for corner in range(10):
        radius, angle = (_STAR, 0.4 * _STAR)[corner % 2], math.pi * corner / 5
        corners.append((point[0] + radius * math.sin(angle), point[1] - radius * math.cos(angle)))
    draw.polygon(corners, fill=ORANGE)


def _legend(draw: ImageDraw.ImageDraw, y: float) -> None:
    x = 24.0 * _SCALE
    for mark, text in ((_dot, "complete"), (_circle, "pruned, at its last epoch"), (_star, "paper's setting")):
        mark(draw, (x, y))
        draw.text((x + 12 * _SCALE, y), text, fill=INK, font=_SMALL, anchor="lm")
        x += 36 * _SCALE + _SMALL.getlength(text)
