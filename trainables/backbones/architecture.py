"""A network as one object: its name, its builder, and what is known of it without building it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

MIN_IMAGE_SIZE = 8
"""Smallest height and width in pixels; three halvings reduce it to one pixel."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network from images to features; the head belongs to the method. A plug-in holds objects of this class.

    Attributes:
        name: its name in study files.
        features: length d of the features.
        build: returns, from the channels C and the height and width in pixels of the images, a module from images
            (B, C, size, size) to features (B, d). Torch is imported inside. Initial weights come from torch's global
            generator.
        paper: authors, year and the paper's name.
        parameters: trained weights without the head, for colour images (3, 32, 32); None is not shown.
        smallest_image: smallest height and width in pixels.
        square: it has a layer of fixed size, and so needs square images, all of one size.
        vectors: it also accepts feature vectors of length D, as images (D, 1, 1).
    """

    name: str
    features: int
    build: Callable[[int, int], nn.Module]
    paper: str = ""
    parameters: int | None = None
    smallest_image: int = MIN_IMAGE_SIZE
    square: bool = False
    vectors: bool = False

    @property
    def input(self) -> str:
        """What it accepts, in words."""
        shape = "square images" if self.square else "images"
        return f"{shape} from {self.smallest_image} px" + (", vectors" if self.vectors else "")
