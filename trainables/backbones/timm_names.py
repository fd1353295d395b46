"""How timm's networks are named in study files; importing this imports no timm."""

from __future__ import annotations

from typing import NamedTuple

from trainables.core.config import TIMM

PREFIX = f"{TIMM}/"
"""``timm/resnet50.a1_in1k`` is the network that timm calls ``resnet50.a1_in1k``."""


class Listed(NamedTuple):
    """A network of timm in a list.

    Attributes:
        size: height of the images that it was made for, in pixels.
        one_size: it has layers of fixed size, and so needs square images, all of one size.
        weights: tags of its weights.
    """

    size: int
    one_size: bool
    weights: list[str]


def is_timm(name: str) -> bool:
    """Return True for the name of a network of timm, whether timm knows it or not."""
    return name.startswith(PREFIX)
