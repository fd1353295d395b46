"""Gallery of the most confident mistakes, a row for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from study.tracking.plots.drawing import GREY, INK, LINE, ORANGE, PAPER, font, png, short

if TYPE_CHECKING:
    from trainables.core.trial_folder import ArrayFile

_SIDE, _GAP = 72, 12
"""Pixels of a shown image, and between two."""
_LABEL = 150
_TOP = 62


def mistake_gallery(arrays: ArrayFile, class_names: Sequence[str], class_counts: Sequence[int], caption: str) -> bytes:
    """Draw wrongly predicted images as PNG, with prediction and confidence below each.

    Args:
        arrays: what `trainables.training.mistakes.mistakes` returned, and ``of_test``.
        class_names: K names.
        class_counts: K numbers of training images.
        caption: text above the gallery.
    """
    labels, classes = arrays["labels"], arrays["classes"].tolist()
    columns = max([4, *(int((labels == k).sum()) for k in classes)])
    row_height = _SIDE + 34
    picture = Image.new("RGB", (_LABEL + columns * (_SIDE + _GAP) + 12, _TOP + len(classes) * row_height + 8), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((12, 12), caption, fill=INK, font=font(13))
    split = "test" if bool(arrays["of_test"]) else "validation"
    legend = f"most confident mistakes on {split} images; rows: true class, the rarest in training first"
    draw.text((12, 32), legend, fill=GREY, font=font(11))
    for number, k in enumerate(classes):
        top = _TOP + number * row_height
        draw.line((12, top - 8, picture.width - 12, top - 8), fill=LINE)
        draw.text((12, top), short(str(class_names[k]), 17), fill=INK, font=font(13))
        draw.text((12, top + 20), f"{class_counts[k]} training images", fill=GREY, font=font(11))
        wrong = f"{arrays['wrong'][number]} of {arrays['total'][number]} wrong"
        draw.text((12, top + 36), wrong, fill=GREY, font=font(11))
        for column, index in enumerate(np.flatnonzero(labels == k)):
            left = _LABEL + column * (_SIDE + _GAP)
            _paste(picture, arrays["images"][index], left, top)
            name = str(class_names[int(arrays["predicted"][index])])
            middle = left + _SIDE // 2
            draw.text((middle, top + _SIDE + 1), _fitted(name), fill=ORANGE, font=font(11), anchor="ma")
            share = f"{arrays['confidence'][index]:.0%}"
            draw.text((middle, top + _SIDE + 14), share, fill=GREY, font=font(10), anchor="ma")
    return png(picture)


def _paste(picture: Image.Image, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], left: int, top: int) -> None:
    """Paste an image (C, h, w) centred into its square, enlarged without smoothing."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).convert("RGB")
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    shown = image.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX)
    picture.paste(shown, (left + (_SIDE - size[0]) // 2, top + (_SIDE - size[1]) // 2))


def _fitted(name: str) -> str:
    text_font, length = font(11), len(name)
    while length > 3 and text_font.getlength(short(name, length)) > _SIDE + _GAP - 4:
        length -= 1
    return short(name, length)
