"""Shared parts of all plots: fonts, colours, ticks. Pillow draws ten times faster than matplotlib."""

from __future__ import annotations

import importlib.util
import io
import math
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

INK, GREY, LINE, PAPER = (38, 38, 38), (120, 120, 120), (222, 222, 222), (255, 255, 255)
BLUE, ORANGE = (33, 113, 181), (217, 95, 14)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@cache
def font(size: int) -> Font:
    """Return a font by its height in pixels: matplotlib's if installed, since it covers many alphabets."""
    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.origin is not None:
        path = Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf"
        if path.exists():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)


def short(name: str, length: int = 14) -> str:
    """Return a name, truncated if it is too long.

    >>> short("a rather long name", 9)
    'a rather…'
    """
    return name if len(name) <= length else name[: length - 1] + "…"


def escaped(text: str) -> str:
    """Return a text that matplotlib draws literally: a pair of dollar signs would enclose a formula."""
    return text.replace("$", r"\$")


def png(picture: Image.Image) -> bytes:
    """Return a picture as the content of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def upright(picture: Image.Image, text: str, right: int, top: int, text_font: Font) -> None:
    """Draw text that reads upwards and ends at ``top``, centred on ``right``."""
    height = int(text_font.getbbox("Ag")[3]) + 4
    width = int(text_font.getlength(text)) + 2
    strip = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(strip).text((width, height // 2), text, fill=INK, font=text_font, anchor="rm")
    picture.paste(strip.rotate(90, expand=True), (right - height // 2, top))


def round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return at most ``most`` round numbers from ``low`` to ``high``.

    >>> round_ticks(0, 48), round_ticks(0.613, 0.691, most=4)
    ([0.0, 10.0, 20.0, 30.0, 40.0], [0.62, 0.64, 0.66, 0.68])
    """
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * m for m in (1, 2, 5, 10, 20) if span / (power * m) <= most)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round((first + index) * step, 12) for index in range(count)]
