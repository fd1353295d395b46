"""The part of a study file that says how the outcome of the search is confirmed."""

from __future__ import annotations

from pydantic import Field

from trainables.core.config import StrictModel


class ConfirmSpec(StrictModel):
    """How the search's outcome is confirmed.

    Attributes:
        seeds: how often each setting is trained, with so many seeds, the same for every method and cell.
        metric: whose best trial is confirmed where several metrics are searched; None is the first of them.
    """

    seeds: int = Field(5, ge=1)
    metric: str | None = None
