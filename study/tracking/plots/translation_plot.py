"""Plot of translated images: seed, amplified noise and result, after figure 6 of Kim et al., 2020."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from study.tracking.plots.drawing import GREY, INK, PAPER, font, png, short

_AMPLIFIED = 10
"""Factor on the noise, as in the paper's figure."""

_SMALL = 64
"""Images up to this many pixels are enlarged pixel by pixel."""


def translations_picture(arrays: Mapping[str, NDArray[Any]], class_names: Sequence[str], caption: str) -> bytes:
    """Plot translations as PNG, one row per target class: seed + noise x 10 = translated image.

    Noise is drawn around grey, which is no change.

    Args:
        arrays: ``seed`` uint8 and ``translated`` float in [0, 1], (n, C, H, W) with C of 1 or 3; ``target`` and
            ``seed_class`` (n,); ``confidence`` (n,), of the reference in the target; ``accepted`` and ``known`` (n,).
        class_names: K names.
        caption: text above the plot.
    """
    seeds, made = arrays["seed"].astype(np.float64) / 255, arrays["translated"].astype(np.float64)
    noise = 0.5 + _AMPLIFIED * (made - seeds)
    side, gap, left, top = 112, 34, 16, 92
    said = left + 3 * (side + gap) - gap + 20
    picture = Image.new("RGB", (said + 230, top + len(seeds) * (side + gap)), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((left, 12), caption, fill=INK, font=font(13))
    draw.text((left, 32), f"noise: {_AMPLIFIED} x (translated - seed), grey is no change", fill=GREY, font=font(11))
    for column, heading in enumerate(("seed", "noise", "translated")):
        draw.text((left + column * (side + gap) + side // 2, top - 28), heading, fill=INK, font=font(12), anchor="mm")
    for row in range(len(seeds)):
        y = top + row * (side + gap)
        for column, images in enumerate((seeds, noise, made)):
            x = left + column * (side + gap)
            drawn = _picture(images[row], side)
            picture.paste(drawn, (x + (side - drawn.width) // 2, y + (side - drawn.height) // 2))
            draw.rectangle((x - 1, y - 1, x + side, y + side), outline=GREY)
            if column < 2:
                draw.text((x + side + gap // 2, y + side // 2), "+="[column], fill=INK, font=font(18), anchor="mm")
        names = [short(str(class_names[int(arrays[which][row])]), 18) for which in ("seed_class", "target")]
        for line, text in enumerate(
            (
                f"{names[0]} \u2192 {names[1]}",
                f"g: {float(arrays['confidence'][row]):.1%} {names[1]}",
                "accepted" if arrays["accepted"][row] else "refused",
                f"f {'knew it' if arrays['known'][row] else 'did not know it'}",
            )
        ):
            draw.text((said, y + 16 + 24 * line), text, fill=INK if line == 0 else GREY, font=font(12), anchor="lm")
    return png(picture)


def _picture(image: NDArray[np.float64], side: int) -> Image.Image:
    """Return an image (C, H, W) in [0, 1], fitted into a square of ``side`` pixels; values outside are clipped."""
    levels = np.rint(255 * image.clip(0, 1)).astype(np.uint8)
    channels = levels if len(levels) == 3 else levels[:1].repeat(3, axis=0)
    height, width = channels.shape[1:]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = Image.Resampling.NEAREST if max(height, width) <= _SMALL else Image.Resampling.LANCZOS
    return Image.fromarray(channels.transpose(1, 2, 0).copy()).resize(size, how)
