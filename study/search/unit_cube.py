"""Searched params as points of a unit cube, on the scales of the search."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces import Choices, Dimension, Space
from search_spaces.dimension import same_value

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHOSEN = 1 / math.sqrt(2)
"""Coordinate of the selected choice: two different choices are then 1 apart, like the two ends of a range."""


def unit_point(space: Space, values: dict[str, Any]) -> Floats:
    """Map searched params to the unit cube of a cell's space.

    A range takes one coordinate in [0, 1], on its search scale. A list of choices takes one coordinate per choice.

    Args:
        space: name -> dimension.
        values: name -> natural value; values outside the range are moved to the nearest end.
    """
    coordinates = [x for name, dimension in space.items() for x in _coordinates(dimension, values[name])]
    return np.array(coordinates, dtype=np.float64)


def _coordinates(dimension: Dimension, value: Any) -> list[float]:
    if isinstance(dimension, Choices):
        return [CHOSEN if same_value(choice, dimension.nearest(value)) else 0.0 for choice in dimension.choices]
    return [dimension.to_unit(value)]
