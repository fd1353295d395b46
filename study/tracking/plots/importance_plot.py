"""Plot of the importance of a cell's searched params, as bars."""

from __future__ import annotations

from collections.abc import Mapping

from PIL import Image, ImageDraw

from study.tracking.plots.drawing import BLUE, GREY, INK, LINE, PAPER, font, png, short

_LEFT, _TOP, _ROW, _WIDTH = 190, 62, 28, 400


def importance_picture(shares: Mapping[str, float], caption: str) -> bytes:
    """Draw the importance of searched params as PNG.

    Args:
        shares: name -> share; they sum to 1.
        caption: text above the plot.
    """
    bottom = _TOP + _ROW * len(shares)
    picture = Image.new("RGB", (_LEFT + _WIDTH + 70, bottom + 34), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((12, 12), caption, fill=INK, font=font(13))
    draw.text(
        (12, 34), "PED-ANOVA: what sets the best trials apart from all; shares sum to 1", fill=GREY, font=font(11)
    )
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _LEFT + share * _WIDTH
        draw.line((x, _TOP, x, bottom), fill=LINE)
        draw.text((x, bottom + 6), f"{share:g}", fill=INK, font=font(12), anchor="ma")
    for place, (name, share) in enumerate(sorted(shares.items(), key=lambda item: -item[1])):
        top = _TOP + place * _ROW
        draw.text((_LEFT - 8, top + _ROW // 2), short(name, 24), fill=INK, font=font(12), anchor="rm")
        draw.rectangle((_LEFT, top + 5, _LEFT + share * _WIDTH, top + _ROW - 5), fill=BLUE)
        draw.text((_LEFT + share * _WIDTH + 6, top + _ROW // 2), f"{share:.0%}", fill=INK, font=font(12), anchor="lm")
    return png(picture)
