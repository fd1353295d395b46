"""Schema of ``confirm`` in a study file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from trainables.core.config import StrictModel

BASELINE = "erm"
"""The method with which a race, and reports, compare the others: plain training."""


class RaceSpec(StrictModel):
    """Seeds beyond the first ones, for the comparisons that these leave undecided.

    Attributes:
        at_most: largest number of seeds of a setting.
        confidence: probability with which no method of a table is called better or worse than one that it equals.
        margin: a difference known to be smaller, in the metric's unit, counts as decided; None asks for a difference.
        compare: the comparisons to decide: every method with ERM (``baseline``), the leader with every other method
            (``best``), or every two methods (``all``).
    """

    at_most: int = Field(20, ge=2, le=200)
    confidence: float = Field(0.95, gt=0.5, lt=1)
    margin: float | None = Field(0.005, gt=0, allow_inf_nan=False)
    compare: Literal["baseline", "best", "all"] = "baseline"


class ConfirmSpec(StrictModel):
    """Retraining of the best setting and the preset of every cell, evaluated on the test images.

    Attributes:
        seeds: number of seeds with which each setting is retrained; the seeds are the same for every cell.
        metric: if several metrics are searched, the one whose best trial is confirmed; None means the first.
        race: further seeds for the best settings where the first ones decide nothing; None trains ``seeds`` alone.
    """

    seeds: int = Field(5, ge=1)
    metric: str | None = None
    race: RaceSpec | None = None

    @model_validator(mode="after")
    def _race_begins_after_the_first_seeds(self) -> ConfirmSpec:
        if self.race is not None and self.seeds < 2:
            raise ValueError(f"`seeds` must be at least 2 with `race`, got {self.seeds}: one seed has no deviation")
        if self.race is not None and self.race.at_most < self.seeds:
            raise ValueError(f"`race.at_most` must be at least `seeds` = {self.seeds}, got {self.race.at_most}")
        return self

    @property
    def seeds_said(self) -> str:
        """The number of seeds as text: ``5``, or in a race ``3 to 20``."""
        return str(self.seeds) if self.race is None else f"{self.seeds} to {self.race.at_most}"

    @property
    def seeds_at_most(self) -> int:
        """Largest number of seeds of a best setting."""
        return self.seeds if self.race is None else self.race.at_most
