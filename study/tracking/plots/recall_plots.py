"""Plots of the recall of every class: at one epoch as bars, and over the epochs as a map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from study.tracking.plots.drawing import BLUE, GREY, INK, LINE, PAPER, font, png, short

_NAMED_CLASSES = 30
"""Maximum number of classes that are named and whose values are written."""

_SHADES = np.array([(255, 255, 255), (198, 219, 239), (107, 174, 214), (33, 113, 181), (8, 48, 107)])
_UNKNOWN = (225, 215, 205)
_LEFT, _TOP = 190, 62


def recall_picture(
    recalls: Sequence[float], class_names: Sequence[str], class_counts: Sequence[int], caption: str
) -> bytes:
    """Draw the recall of every class as bars, as PNG.

    Args:
        recalls: K recalls from the most to the least frequent class in training; NaN for a class without images.
        class_names: K names in the same order.
        class_counts: K numbers of training images in the same order.
        caption: text above the plot; says which images.
    """
    classes = len(recalls)
    named = classes <= _NAMED_CLASSES
    row, width = (22, 400) if named else (max(2, 600 // classes), 400)
    picture = Image.new("RGB", (_LEFT + width + 70, _TOP + row * classes + 34), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((12, 12), caption, fill=INK, font=font(13))
    draw.text((12, 34), "recall; classes from most to least frequent in training", fill=GREY, font=font(11))
    bottom = _TOP + row * classes
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _LEFT + share * width
        draw.line((x, _TOP, x, bottom), fill=LINE)
        draw.text((x, bottom + 6), f"{share:g}", fill=INK, font=font(12), anchor="ma")
    for place, recall in enumerate(recalls):
        top = _TOP + place * row
        if not math.isnan(recall):
            draw.rectangle((_LEFT, top + row // 6, _LEFT + recall * width, top + row - max(1, row // 6)), fill=BLUE)
        if named:
            _label(draw, top + row // 2, class_names[place], class_counts[place])
            said = "no images" if math.isnan(recall) else f"{recall:.3f}"
            at = _LEFT + (0 if math.isnan(recall) else recall * width) + 6
            draw.text((at, top + row // 2), said, fill=INK, font=font(12), anchor="lm")
    if not named:
        _ends(draw, bottom, class_counts)
    return png(picture)


def recall_history_picture(
    history: Sequence[tuple[int, Sequence[float]]],
    class_names: Sequence[str],
    class_counts: Sequence[int],
    caption: str,
) -> bytes:
    """Draw how the recall of every class developed, as PNG: a row for each class, a column for each epoch.

    Args:
        history: epoch and K recalls in label order, at least one; epochs beyond 400 are thinned out evenly.
        class_names: K names in label order.
        class_counts: K numbers of training images in label order.
        caption: text above the plot; says which images.
    """
    step = math.ceil(len(history) / 400)
    shown = [*history[:-1:step], history[-1]]
    order = np.argsort(-np.asarray(class_counts), kind="stable")
    values = np.array([recalls for _, recalls in shown], dtype=np.float64).T[order]
    classes, epochs = values.shape
    named = classes <= _NAMED_CLASSES
    row = 22 if named else max(2, 600 // classes)
    column = max(1, min(40, 480 // epochs))
    width = column * epochs
    picture = Image.new("RGB", (max(_LEFT + width + 150, 560), _TOP + row * classes + 46), PAPER)
    draw = ImageDraw.Draw(picture)
    grid = Image.fromarray(_colours(values)).resize((width, row * classes), Image.Resampling.NEAREST)
    picture.paste(grid, (_LEFT, _TOP))
    draw.text((12, 12), caption, fill=INK, font=font(13))
    draw.text((12, 34), "classes from most to least frequent in training", fill=GREY, font=font(11))
    bottom = _TOP + row * classes
    draw.rectangle((_LEFT - 1, _TOP - 1, _LEFT + width, bottom), outline=GREY)
    for place, k in enumerate(order) if named else ():
        middle = _TOP + place * row + row // 2
        _label(draw, middle, class_names[k], class_counts[k])
        last = values[place, -1]
        said = "no images" if math.isnan(last) else f"{last:.3f}"
        draw.text((_LEFT + width + 8, middle), said, fill=INK, font=font(12), anchor="lm")
        if column >= 36:
            _write_row(draw, values[place], middle, column)
    if not named:
        _ends(draw, bottom, [class_counts[k] for k in order])
    every = max(1, math.ceil(28 / column))
    for place in range(0, epochs, every):
        x = _LEFT + place * column + column // 2
        draw.text((x, bottom + 6), str(shown[place][0]), fill=INK, font=font(12), anchor="ma")
    draw.text((_LEFT + width // 2, bottom + 24), "epoch", fill=INK, font=font(12), anchor="ma")
    _colour_bar(picture, draw, _LEFT + width + 84, _TOP, row * classes)
    return png(picture)


def _label(draw: ImageDraw.ImageDraw, middle: int, name: str, count: int) -> None:
    draw.text((_LEFT - 62, middle), short(str(name), 15), fill=INK, font=font(12), anchor="rm")
    draw.text((_LEFT - 8, middle), f"({count})", fill=GREY, font=font(11), anchor="rm")


def _ends(draw: ImageDraw.ImageDraw, bottom: int, counts: Sequence[int]) -> None:
    """Say how frequent the first and the last class are, where there is no room for names."""
    draw.text((_LEFT - 8, _TOP), f"{counts[0]} training images", fill=GREY, font=font(11), anchor="ra")
    draw.text((_LEFT - 8, bottom), f"{counts[-1]} training images", fill=GREY, font=font(11), anchor="rs")


def _write_row(
    draw: ImageDraw.ImageDraw, recalls: np.ndarray[tuple[int], np.dtype[np.float64]], y: int, w: int
) -> None:
    for place, recall in enumerate(recalls.tolist()):
        if not math.isnan(recall):
            ink = PAPER if recall > 0.55 else INK
            draw.text((_LEFT + place * w + w // 2, y), f"{recall:.2f}", fill=ink, font=font(11), anchor="mm")


def _colours(
    shares: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Map recalls, shape (...), to RGB colours, shape (..., 3); NaN is grey."""
    stops = np.linspace(0, 1, len(_SHADES))
    known = np.isfinite(shares)
    filled = np.where(known, shares, 0)
    colours = np.stack([np.interp(filled, stops, _SHADES[:, c]) for c in range(3)], axis=-1)
    return np.where(known[..., None], colours, _UNKNOWN).round().astype(np.uint8)


def _colour_bar(picture: Image.Image, draw: ImageDraw.ImageDraw, left: int, top: int, height: int) -> None:
    ramp = _colours(np.linspace(1, 0, height))[:, None].repeat(12, axis=1)
    picture.paste(Image.fromarray(ramp), (left, top))
    draw.rectangle((left - 1, top - 1, left + 12, top + height), outline=GREY)
    for share in (0.0, 0.5, 1.0):
        draw.text((left + 18, top + (1 - share) * height), f"{share:g}", fill=INK, font=font(11), anchor="lm")
