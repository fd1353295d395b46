"""Schema of ``confirm`` in a study file."""

from __future__ import annotations

from pydantic import Field

from trainables.core.config import StrictModel


class ConfirmSpec(StrictModel):
    """Retraining of the best setting and the preset of every cell, evaluated on the test images.

    Attributes:
        seeds: number of seeds with which each setting is retrained; the seeds are the same for every cell.
        metric: if several metrics are searched, the one whose best trial is confirmed; None means the first.
    """

    seeds: int = Field(5, ge=1)
    metric: str | None = None
