"""A nested mapping as one of paths, by which two study files are compared value by value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ABSENT = object()


def flat(value: Any, path: str = "") -> dict[str, Any]:
    """Return path -> value; a path joins keys and positions with dots.

    >>> flat({"a": 1, "b": {"c": [2, {"d": 3}]}})
    {'a': 1, 'b.c.0': 2, 'b.c.1.d': 3}
    """
    if isinstance(value, dict) and value:
        items = [(f"{path}.{key}" if path else key, inner) for key, inner in value.items()]
    elif isinstance(value, list) and value:
        items = [(f"{path}.{index}", inner) for index, inner in enumerate(value)]
    else:
        return {path: value}
    return {place: leaf for key, inner in items for place, leaf in flat(inner, key).items()}


def changed_paths(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the paths, in order, at which two mappings of `flat` differ; one may lack what the other has.

    >>> changed_paths({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": None})
    ['b', 'c']
    """
    every = sorted(before.keys() | after.keys())
    return [path for path in every if before.get(path, _ABSENT) != after.get(path, _ABSENT)]
