"""Grid search: every combination of the grid values of a space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from search_spaces.dimension import Range, Space, same_value
from trainables.core.errors import BadInput

LARGEST_GRID = 100_000
"""Maximum number of grid points of a cell; no study would finish a larger grid."""


class Grid:
    """The points of a grid search over a space.

    Args:
        space: searched name -> dimension.
        points: number of points of a range without a stated grid.
        seed: seed of the order; in sorted order, an incomplete grid would cover only one side of the space.
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
        """Number of points."""
        return math.prod(len(axis) for axis in self._axes.values())

    def untried(self, params: Iterable[dict[str, Any]]) -> dict[str, Any] | None:
        """Return the first untried point, in Optuna's names and values, or None.

        Args:
            params: natural params of every trial so far.
        """
        tried = self._tried(params)
        if len(tried) == self.size:
            return None
        import numpy as np  # imported here: checks of a study file need not wait for it

        order = np.random.default_rng(self._seed).permutation(self.size)
        return self._point(next(int(index) for index in order if int(index) not in tried))

    def count_untried(self, params: Iterable[dict[str, Any]]) -> int:
        """Return the number of untried points, given the natural params of every trial so far."""
        return self.size - len(self._tried(params))

    def _tried(self, params: Iterable[dict[str, Any]]) -> set[int]:
        return {index for one in params if (index := self._index(one)) is not None}

    def _index(self, params: dict[str, Any]) -> int | None:
        index = 0
        for name, axis in self._axes.items():
            if name not in params:
                return None  # a trial interrupted during sampling
            # both sides are encoded from natural values by the same function, so equal values are equal to the last bit
            sampled = self._space[name].encode(params[name])
            place = next((i for i, value in enumerate(axis) if same_value(value, sampled)), None)
            if place is None:
                return None  # for example the preset's setting, which need not be a grid point
            index = index * len(axis) + place
        return index

    def _point(self, index: int) -> dict[str, Any]:
        point = {}
        for name, axis in reversed(self._axes.items()):
            index, place = divmod(index, len(axis))
            point[self._space[name].searched_name(name)] = axis[place]
        return point


def check_grid(spaces: Sequence[tuple[str, Space]], points: int) -> None:
    """Refuse grids that are too large for any study to finish.

    Args:
        spaces: pairs of a cell's name and its search space.
        points: number of points of a range without a stated grid.

    Raises:
        BadInput: a grid has more than `LARGEST_GRID` points.
    """
    for name, space in spaces:
        size = Grid(space, points).size
        if size > LARGEST_GRID:
            raise BadInput(
                f"the grid of {name} has {size} points, at most {LARGEST_GRID} are allowed: lower `search.grid_points`,"
                f" or search fewer values ({', '.join(space)})"
            )
