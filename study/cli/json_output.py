"""JSON as the command prints it: what is not a finite number is null, since JSON has no NaN."""

from __future__ import annotations

import json
import math
from typing import Any

import typer


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(without_nan(value), indent=1, allow_nan=False))


def without_nan(value: Any) -> Any:
    """Return a value with None for every float that is NaN or infinite, at any depth.

    >>> without_nan({"a": [0.5, float("nan")], "b": (float("inf"), "nan")})
    {'a': [0.5, None], 'b': [None, 'nan']}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(inner) for inner in value]
    return value
