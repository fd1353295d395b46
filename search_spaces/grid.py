"""The points of a grid search: every combination of the grid values of a space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from search_spaces.dimension import Range, Space, same_value
from trainables.core.errors import BadInput

LARGEST_GRID = 100_000
"""Points of a cell beyond which no study would come to an end of its grid."""


class Grid:
    """The points of a space that a grid search tries.

    Args:
        space: searched name -> dimension.
        points: of a range that states no grid.
        seed: draws the order; neighbouring points one after the other would leave half a budget one-sided.
    """

    def __init__(self, space: Space, points: int, seed: int = 0) -> None:
        self._space, self._seed = space, seed
        self._axes: dict[str, tuple[Any, ...]] = {
            name: tuple(dict.fromkeys(dimension.encode(value) for value in dimension.grid_values(points)))
            if isinstance(dimension, Range)
            else dimension.choices
            for name, dimension in space.items()
        }

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(len(axis) for axis in self._axes.values())

    def untried(self, params: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
        """Return the first point that no trial has had, as Optuna samples it, or None.

        Args:
            params: natural params of every trial so far.
        """
        tried = self._tried(params)
        if len(tried) == self.size:
            return None
        import numpy as np  # a tenth of a second, which a bad study file need not wait for

        order = np.random.default_rng(self._seed).permutation(self.size)
        return self._point(next(int(index) for index in order if int(index) not in tried))

    def count_untried(self, params: Iterable[dict[str, Any]]) -> int:
        """Return how many points no trial has had, given the natural params of every trial so far."""
        return self.size - len(self._tried(params))

    def _tried(self, params: Iterable[dict[str, Any]]) -> set[int]:
        return {index for one in params if (index := self._index(one)) is not None}

    def _index(self, params: dict[str, Any]) -> int | None:
        index = 0
        for name, axis in self._axes.items():
            if name not in params:
                return None  # a trial that was cut off before all its values were drawn
            # both sides are encoded by the same function from natural values: equal ones are equal to the last bit
            sampled = self._space[name].encode(params[name])
            place = next((i for i, value in enumerate(axis) if same_value(value, sampled)), None)
            if place is None:
                return None  # such as the preset's setting, which need not be a point of the grid
            index = index * len(axis) + place
        return index

    def _point(self, index: int) -> dict[str, Any]:
        point = {}
        for name, axis in reversed(self._axes.items()):
            index, place = divmod(index, len(axis))
            point[self._space[name].searched_name(name)] = axis[place]
        return point


def check_grid(spaces: Sequence[tuple[str, Space]], points: int) -> None:
    """Refuse grids that no study would come to an end of.

    Args:
        spaces: name of a cell and what it searches.
        points: of a range that states no grid.

    Raises:
        BadInput: a grid of more than `LARGEST_GRID` points.
    """
    for name, space in spaces:
        size = Grid(space, points).size
        if size > LARGEST_GRID:
            raise BadInput(
                f"the grid of {name} has {size} points, at most {LARGEST_GRID} are allowed: lower `search.grid_points`,"
                f" or search fewer values ({', '.join(space)})"
            )
