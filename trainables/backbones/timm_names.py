"""How timm's networks are named in study files; importing this imports no timm."""

from __future__ import annotations

PREFIX = "timm/"
"""``timm/resnet50.a1_in1k`` is the network that timm calls ``resnet50.a1_in1k``."""


def is_timm(name: str) -> bool:
    """Return True for the name of a network of timm, whether timm knows it or not."""
    return name.startswith(PREFIX)
