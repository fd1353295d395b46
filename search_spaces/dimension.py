"""One searched value: its range, its scale, and its translation to what Optuna samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from trainables.core.config import StrictModel

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Scalar = bool | int | float | str


class Range(StrictModel):
    """An interval, ends included.

    Attributes:
        low: smallest value.
        high: largest value.
        scale: ``linear``; ``log`` (of the magnitude, when both ends are negative); ``log-complement`` is
            logarithmic in 1 - x, for values that press against 1 such as beta.
        integer: whole numbers only.
        grid: the values that the searcher ``grid`` takes, in the field's own units; in a method's own space the
            grid of its paper. Empty takes evenly spaced points of the scale.
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
        """Both ends and, unless only whole numbers are searched, a broken one between them."""
        ends = (self.low, self.high)
        return ends if self.integer else (*ends, self.low + (self.high - self.low) / math.pi)

    def searched_name(self, name: str) -> str:
        """Return the name under which the ledger holds the translated value of a field."""
        return f"-{name}" if self._mirrored else f"1-{name}" if self.scale == "log-complement" else name

    def encode(self, value: Any) -> Any:
        """Translate a field's value to what Optuna samples; values outside are moved to the nearest end."""
        value = min(max(value, self.low), self.high)
        sampled = -value if self._mirrored else 1 - value if self.scale == "log-complement" else value
        return int(sampled) if self.integer else sampled

    def decode(self, sampled: float) -> float:
        """Translate what Optuna sampled to the field's value."""
        value = -sampled if self._mirrored else 1 - sampled if self.scale == "log-complement" else sampled
        return int(value) if self.integer else value

    def grid_values(self, points: int) -> tuple[float, ...]:
        """Return the values of a grid: the stated ones, or up to ``points`` evenly spaced ones of the scale."""
        if self.grid:
            return self.grid
        low, high = sorted((self.encode(self.low), self.encode(self.high)))
        logarithmic = self.scale != "linear"
        start, end = (math.log(low), math.log(high)) if logarithmic else (low, high)
        steps = [start + (end - start) * step / (points - 1) for step in range(points)]
        sampled = [math.exp(step) if logarithmic else step for step in steps]
        sampled[0], sampled[-1] = low, high  # exactly, whatever exp and log round
        values = [self.decode(round(s) if self.integer else s) for s in sampled]
        return tuple(dict.fromkeys(values))

    def distribution(self) -> BaseDistribution:
        """Return what Optuna samples from."""
        from optuna.distributions import FloatDistribution, IntDistribution

        low, high = sorted((self.encode(self.low), self.encode(self.high)))
        if self.integer:
            return IntDistribution(int(low), int(high), log=self.scale == "log")
        return FloatDistribution(low, high, log=self.scale != "linear")


class Choices(StrictModel):
    """A list of values without order."""

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
        """All of them."""
        return self.choices

    def searched_name(self, name: str) -> str:
        """Return the name under which the ledger holds the value of a field: its own."""
        return name

    def encode(self, value: Any) -> Any:
        """Return the value itself; one that is not listed becomes the first."""
        return value if value in self.choices else self.choices[0]

    def decode(self, sampled: Any) -> Any:
        """Return the value itself."""
        return sampled

    def grid_values(self, points: int) -> tuple[Scalar, ...]:
        """Return the values of a grid: all of them."""
        return self.choices

    def distribution(self) -> BaseDistribution:
        """Return what Optuna samples from."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.choices)


def _kind(given: Any) -> str:
    is_choices = isinstance(given, Choices) or (isinstance(given, dict) and "choices" in given)
    return "choices" if is_choices else "range"


Dimension = Annotated[Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")], Discriminator(_kind)]
Space = dict[str, Dimension]
"""Field of a method's hyperparameters -> where it is searched."""
