"""The points of a grid search: every combination of the grid values of a space."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from search_spaces.dimension import Space
from trainables.core.errors import BadInput

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

LARGEST_GRID = 100_000
"""Points of a cell beyond which no study would come to an end of its grid."""


def same_value(one: Any, other: Any) -> bool:
    """Tell whether two values in the ledger's units are one, apart from the rounding of a translation.

    >>> same_value(0.1 + 0.2, 0.3), same_value("paper", "official"), same_value(True, 1)
    (True, False, False)
    """
    if isinstance(one, str) or isinstance(other, str) or isinstance(one, bool) or isinstance(other, bool):
        return bool(one is other or (type(one) is type(other) and one == other))
    return math.isclose(one, other, rel_tol=1e-9)


def _distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Leave out what is one value with the one before it, as points of a very narrow range are."""
    kept: list[Any] = []
    for value in values:
        if not kept or not same_value(value, kept[-1]):
            kept.append(value)
    return tuple(kept)


class Grid:
    """The points of a space that a grid search tries.

    Args:
        space: searched name -> dimension.
        points: of a range that states no grid.
        seed: draws the order; neighbouring points one after the other would leave half a budget one-sided.
    """

    def __init__(self, space: Space, points: int, seed: int = 0) -> None:
        self._axes: dict[str, tuple[Any, ...]] = {
            dimension.searched_name(name): _distinct(dimension.encode(value) for value in dimension.grid_values(points))
            for name, dimension in space.items()
        }
        self._seed = seed

    @property
    def size(self) -> int:
        """How many points there are."""
        return math.prod(len(axis) for axis in self._axes.values())

    def untried(self, trials: Iterable[FrozenTrial]) -> dict[str, Any] | None:
        """Return the first point that no trial has had, in the ledger's units, or None."""
        tried = self._tried(trials)
        if len(tried) == self.size:
            return None
        import numpy as np  # a tenth of a second, which a bad study file need not wait for

        order = np.random.default_rng(self._seed).permutation(self.size)
        return self._point(next(int(index) for index in order if int(index) not in tried))

    def count_untried(self, trials: Iterable[FrozenTrial]) -> int:
        """Return how many points no trial has had."""
        return self.size - len(self._tried(trials))

    def _tried(self, trials: Iterable[FrozenTrial]) -> set[int]:
        return {index for trial in trials if (index := self._index(trial.params)) is not None}

    def _index(self, params: dict[str, Any]) -> int | None:
        index = 0
        for name, axis in self._axes.items():
            place = next((i for i, v in enumerate(axis) if name in params and same_value(v, params[name])), None)
            if place is None:
                return None  # such as the preset's setting, which need not be a point of the grid
            index = index * len(axis) + place
        return index

    def _point(self, index: int) -> dict[str, Any]:
        point = {}
        for name, axis in reversed(self._axes.items()):
            index, place = divmod(index, len(axis))
            point[name] = axis[place]
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
