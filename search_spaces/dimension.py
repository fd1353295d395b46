"""One search dimension: its range, its scale, and its conversion to and from Optuna's samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from trainables.core.config import StrictModel

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Scalar = bool | int | float | str


def same_value(one: Any, other: Any) -> bool:
    """Return True if two natural values are equal; a truth value never equals a number.

    >>> same_value(0.5, 0.5), same_value(1, 1.0), same_value(True, 1), same_value(0.1 + 0.2, 0.3)
    (True, True, False, False)
    """
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


class Range(StrictModel):
    """An interval that includes its ends.

    Attributes:
        low: smallest value.
        high: largest value.
        scale: ``linear``; ``log`` (of the magnitude, when both ends are negative); ``log-complement`` is
            logarithmic in 1 - x, for values that press against 1 such as beta.
        integer: whole numbers only.
        grid: the values that the searcher ``grid`` tries, in the field's own units; in a method's own space, the
            grid of its paper. If empty, the points are evenly spaced on the scale.
    """

    low: float = Field(allow_inf_nan=False)
    high: float = Field(allow_inf_nan=False)
    scale: Literal["linear", "log", "log-complement"] = "linear"
    integer: bool = False
    grid: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _usable(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"`low` must be < `high`, got low {self.low:g} and high {self.high:g}")
        if self.scale == "log" and self.low <= 0 <= self.high:
            raise ValueError(f"a log range must not hold 0, got {self.low:g} to {self.high:g}")
        if self.scale == "log-complement" and self.high >= 1:
            raise ValueError(f"a log-complement range must end below 1, got high {self.high:g}")
        if self.integer and (self.low % 1 or self.high % 1 or self.scale == "log-complement"):
            raise ValueError(f"an integer range needs whole ends, got {self.low:g} to {self.high:g}")
        return self

    @model_validator(mode="after")
    def _grid_lies_inside(self) -> Range:
        if len(set(self.grid)) < len(self.grid):
            raise ValueError(f"`grid` must not name a value twice, got {list(self.grid)}")
        for value in self.grid:
            if not self.low <= value <= self.high or (self.integer and value % 1):
                whole = "whole numbers " if self.integer else ""
                raise ValueError(f"`grid` must hold {whole}from {self.low:g} to {self.high:g}, got {value:g}")
        return self

    @property
    def _mirrored(self) -> bool:
        return self.scale == "log" and self.high < 0

    @property
    def examples(self) -> tuple[float, ...]:
        """Both ends and, unless the range is an integer one, a fractional value between them."""
        ends = (self.low, self.high)
        return ends if self.integer else (*ends, self.low + (self.high - self.low) / math.pi)

    def searched_name(self, name: str) -> str:
        """Return the name under which the ledger holds a field's encoded value."""
        return f"-{name}" if self._mirrored else f"1-{name}" if self.scale == "log-complement" else name

    @property
    def descending(self) -> bool:
        """True if `to_unit` falls as the value rises, because -x or 1 - x is sampled instead."""
        return self.searched_name("") != ""

    def nearest(self, value: Any) -> float:
        """Return the value, or the nearest end of the range if it lies outside."""
        inside = min(max(value, self.low), self.high)
        return int(inside) if self.integer else float(inside)

    def encode(self, value: Any) -> Any:
        """Convert a field's value to Optuna's; values outside the range are moved to the nearest end."""
        value = self.nearest(value)
        sampled = -value if self._mirrored else 1 - value if self.scale == "log-complement" else value
        return int(sampled) if self.integer else sampled

    def decode(self, sampled: float) -> float:
        """Convert Optuna's value to the field's."""
        value = -sampled if self._mirrored else 1 - sampled if self.scale == "log-complement" else sampled
        return int(value) if self.integer else float(value)

    def grid_values(self, points: int) -> tuple[float, ...]:
        """Return the grid: the stated values, or up to ``points`` values evenly spaced on the scale."""
        if self.grid:
            return self.grid
        return tuple(dict.fromkeys(self.from_unit(step, points - 1) for step in range(points)))

    def to_unit(self, value: Any) -> float:
        """Map a value to [0, 1] on the search scale; values outside the range are moved to the nearest end.

        0 is the smallest value that Optuna samples, which is the high end of a mirrored or complementary range.

        >>> Range(low=0.01, high=1, scale="log").to_unit(0.1), Range(low=-2, high=-1, scale="log").to_unit(-1)
        (0.5, 0.0)
        """
        low, high = self._sampled_ends
        return place_between(self.encode(value), low, high, log=self._logarithmic)

    def from_unit(self, place: float, of: float = 1) -> float:
        """Return the value at ``place / of`` of the range, from 0 to 1 on the search scale.

        Both ends are exact, whatever the rounding of logarithm and exponential. Integer ranges return the nearest
        integer.

        Args:
            place: from 0 to ``of``.
            of: length of the scale; an integer length lets a grid's steps be divided only once.
        """
        low, high = self._sampled_ends
        if place <= 0 or place >= of:
            return self.decode(low if place <= 0 else high)
        sampled = value_between(place, low, high, log=self._logarithmic, of=of)
        return self.decode(min(max(round(sampled) if self.integer else sampled, low), high))

    @property
    def _logarithmic(self) -> bool:
        return self.scale != "linear"

    @property
    def _sampled_ends(self) -> tuple[float, float]:
        low, high = sorted((self.encode(self.low), self.encode(self.high)))
        return low, high

    def distribution(self) -> BaseDistribution:
        """Return the Optuna distribution of the range."""
        from optuna.distributions import FloatDistribution, IntDistribution

        low, high = self._sampled_ends
        if self.integer:
            return IntDistribution(int(low), int(high), log=self._logarithmic)
        return FloatDistribution(low, high, log=self._logarithmic)


class Choices(StrictModel):
    """A list of unordered values."""

    choices: tuple[Scalar, ...] = Field(min_length=2)

    @field_validator("choices")
    @classmethod
    def _differ(cls, choices: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        kinds = [(isinstance(choice, bool), choice) for choice in choices]  # true is not 1
        twice = [choice for place, (_, choice) in enumerate(kinds) if kinds[place] in kinds[:place]]
        if twice:
            raise ValueError(f"must differ from each other, got {twice[0]!r} twice")
        return choices

    @property
    def examples(self) -> tuple[Scalar, ...]:
        """All choices."""
        return self.choices

    def searched_name(self, name: str) -> str:
        """Return the name under which the ledger holds a field's value: the field's own."""
        return name

    def nearest(self, value: Any) -> Scalar:
        """Return the value as listed; a value that is not listed becomes the first choice."""
        return next((choice for choice in self.choices if same_value(choice, value)), self.choices[0])

    def encode(self, value: Any) -> Any:
        """Return the value as listed; a value that is not listed becomes the first choice."""
        return self.nearest(value)

    def decode(self, sampled: Any) -> Any:
        """Return the value unchanged."""
        return sampled

    def grid_values(self, points: int) -> tuple[Scalar, ...]:
        """Return the grid: all choices."""
        return self.choices

    def to_unit(self, value: Any) -> float:
        """Map a choice to [0, 1]: the first is 0, the last is 1, the others are evenly spaced.

        >>> Choices(choices=(10, 20, 64)).to_unit(20)
        0.5
        """
        places = (place for place, choice in enumerate(self.choices) if same_value(choice, value))
        return next(places, 0) / (len(self.choices) - 1)

    def from_unit(self, place: float, of: float = 1) -> Scalar:
        """Return the choice at ``place / of``; every choice has an equal share of the unit interval."""
        count = len(self.choices)
        return self.choices[min(max(int(place / of * count), 0), count - 1)]

    def distribution(self) -> BaseDistribution:
        """Return the Optuna distribution of the choices."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)


def place_between(value: float, low: float, high: float, *, log: bool) -> float:
    """Return where a value lies between two ends: 0 at ``low``, 1 at ``high``, on a linear or logarithmic scale."""
    if log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return float((value - low) / (high - low))


def value_between(place: float, low: float, high: float, *, log: bool, of: float = 1) -> float:
    """Return the value at ``place / of`` between two ends; the inverse of `place_between`."""
    start, end = (math.log(low), math.log(high)) if log else (low, high)
    value = start + (end - start) * place / of
    return math.exp(value) if log else value


def _kind(given: Any) -> str:
    is_choices = isinstance(given, Choices) or (isinstance(given, dict) and "choices" in given)
    return "choices" if is_choices else "range"


Dimension = Annotated[Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_kind)]
Space = dict[str, Dimension]
"""Name of a hyperparameter -> its search dimension."""
Spaces = dict[str, Space]
"""Name of a method -> its space."""
