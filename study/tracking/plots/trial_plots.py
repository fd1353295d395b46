"""Plots of one trial: its confusion matrix and its cumulative false positives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from study.tracking.plots.drawing import BLUE, GREY, INK, LINE, PAPER, font, png, round_ticks, short, upright

_SHADES = np.array([(255, 255, 255), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 48, 107)])
_NAMED_CLASSES = 20
"""Maximum number of classes for which every class is named and every count is written."""


def _colours(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Map shares in [0, 1], shape (...), to RGB colours, shape (..., 3).

    The square root is taken first: among many classes, a confusion of 2 % must be visible.
    """
    stops = np.linspace(0, 1, len(_SHADES))
    channels = [np.interp(np.sqrt(shares), stops, _SHADES[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _shown_classes(count: int) -> list[int]:
    step = 1 if count <= _NAMED_CLASSES else next(s for s in (10, 20, 50, 100, 500) if count / s <= 20 or s == 500)
    return list(range(0, count, step))


def confusion_picture(confusion: ArrayLike, class_names: Sequence[str], caption: str) -> bytes:
    """Plot a confusion matrix as PNG: rows are true classes, colours are shares of a row.

    Args:
        confusion: counts, shape (K, K), written into the plot for at most 20 classes.
        class_names: K names; above 20 classes, indices are shown instead.
        caption: text above the plot.
    """
    counts = np.asarray(confusion, dtype=np.int64)
    classes = len(counts)
    named = classes <= _NAMED_CLASSES
    cell = 36 if classes <= 12 else 30 if named else max(1, 600 // classes)
    side, small = cell * classes, font(12)
    labels = [short(str(class_names[k])) if named else str(k) for k in range(classes)]
    shown = _shown_classes(classes)
    widest = max(int(small.getlength(labels[k])) for k in shown)
    turned = widest > cell * (1 if named else 10) - 4
    left, top, below = widest + 40, 52, (widest + 14 if turned else 24) + 26
    picture = Image.new("RGB", (max(left + side + 84, 420), top + side + below), PAPER)
    images = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, images, out=np.zeros(counts.shape), where=images > 0)
    grid = Image.fromarray(_colours(shares)).resize((side, side), Image.Resampling.NEAREST)
    picture.paste(grid, (left, top))
    draw = ImageDraw.Draw(picture)
    draw.text((12, 12), caption, fill=INK, font=font(13))
    draw.text((12, 30), "colour: share of the images of a true class", fill=GREY, font=font(11))
    draw.rectangle((left - 1, top - 1, left + side, top + side), outline=GREY)
    if named:
        _write_counts(draw, counts, shares, (left, top), cell)
    for k in shown:
        middle = k * cell + cell // 2
        draw.text((left - 8, top + middle), labels[k], fill=INK, font=small, anchor="rm")
        if turned:
            upright(picture, labels[k], left + middle, top + side + 8, small)
        else:
            draw.text((left + middle, top + side + 8), labels[k], fill=INK, font=small, anchor="ma")
    draw.text((left + side // 2, top + side + below - 8), "predicted class", fill=INK, font=small, anchor="ms")
    upright(picture, "true class", 14, top + side // 2 - 30, small)
    _colour_bar(picture, draw, left + side + 22, top, side)
    return png(picture)


def _write_counts(
    draw: ImageDraw.ImageDraw,
    counts: NDArray[np.int64],
    shares: NDArray[np.float64],
    corner: tuple[int, int],
    cell: int,
) -> None:
    for row, column in np.argwhere(counts > 0):
        text, size = str(counts[row, column]), 12
        while size > 7 and font(size).getlength(text) > cell - 4:
            size -= 1
        place = (corner[0] + column * cell + cell // 2, corner[1] + row * cell + cell // 2)
        ink = PAPER if shares[row, column] > 0.35 else INK
        draw.text(place, text, fill=ink, font=font(size), anchor="mm")


def _colour_bar(picture: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int, height: int) -> None:
    ramp = _colours(np.linspace(1, 0, height) ** 2)[:, None].repeat(12, axis=1)
    picture.paste(Image.fromarray(ramp), (left, top))
    draw.rectangle((left - 1, top - 1, left + 12, top + height), outline=GREY)
    for share in (0.0, 0.1, 0.5, 1.0):
        draw.text((left + 18, top + (1 - share**0.5) * height), f"{share:.0%}", fill=INK, font=font(11), anchor="lm")


def false_positives_picture(curve: ArrayLike, class_names: Sequence[str], caption: str) -> bytes:
    """Plot the cumulative false positives as PNG, with the straight line of an unbiased classifier.

    Args:
        curve: false positives summed over classes from the most to the least frequent, shape (K,).
        class_names: K names in the same order.
        caption: text above the plot.
    """
    values = np.asarray(curve, dtype=np.int64)
    classes, most = len(values), max(int(values[-1]), 1)
    scale, width, height = 2, 640, 370  # drawn twice as large, then halved: smooth lines
    left, right, top, bottom = 140, 1240, 110, 600
    picture = Image.new("RGB", (width * scale, height * scale), PAPER)
    draw = ImageDraw.Draw(picture)

    def place(k: float, value: float) -> tuple[float, float]:
        return left + (right - left) * k / classes, bottom - (bottom - top) * value / most

    for tick in (tick for tick in round_ticks(0, most) if tick % 1 == 0):
        y = place(0, tick)[1]
        draw.line((left, y, right, y), fill=LINE, width=2)
        draw.text((left - 16, y), f"{tick:g}", fill=INK, font=font(24), anchor="rm")
    draw.line((place(0, 0), place(classes, most)), fill=GREY, width=2)
    points = [place(0, 0), *(place(k + 1, value) for k, value in enumerate(values))]
    draw.line(points, fill=BLUE, width=5, joint="curve")
    named = classes <= _NAMED_CLASSES
    for k in _shown_classes(classes):
        x, y = points[k + 1]
        if named:
            draw.ellipse((x - 7, y - 7, x + 7, y + 7), fill=BLUE)
        label = short(str(class_names[k]), max(3, 70 // classes)) if named else str(k + 1)
        draw.text((x, bottom + 14), label, fill=INK, font=font(24), anchor="ma")
    draw.line((left, bottom, right, bottom), fill=GREY, width=2)
    draw.text((24, 20), caption, fill=INK, font=font(26))
    legend = "false positives summed over classes; grey: no bias towards frequent classes"
    draw.text((24, 58), legend, fill=GREY, font=font(22))
    axis = f"{'predicted class' if named else 'classes'}, from most to least frequent in training"
    draw.text(((left + right) / 2, bottom + 70), axis, fill=INK, font=font(24), anchor="ma")
    return png(picture.reduce(scale))
