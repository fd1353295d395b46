"""Formats values and names for MLflow's pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def milliseconds(moment: datetime | None) -> int:
    """Return a moment in MLflow's unit, milliseconds since the epoch; 0 for None."""
    return 0 if moment is None else int(moment.timestamp() * 1000)


def shown(value: Any) -> str:
    """Format a value for display; floats get ten significant digits, so that 0.1 + 0.2 reads 0.3.

    >>> shown(0.1 + 0.2), shown(5), shown(True), shown(1e-5)
    ('0.3', '5', 'True', '1e-05')
    """
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def plain(name: str) -> str:
    """Return the display name of a searched param, without the prefix ``training.``.

    >>> plain("training.lr"), plain("gamma")
    ('lr', 'gamma')
    """
    return name.removeprefix("training.")
