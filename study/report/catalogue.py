"""What there is to choose from, read off the tables that the code itself uses."""

from __future__ import annotations

from typing import Any

from search_spaces import SPACES, Choices, Dimension
from trainables.config import MethodConfig
from trainables.data import DATASETS
from trainables.methods import METHODS, Method, hyperparameters


def method_entries() -> list[dict[str, Any]]:
    """Return every method: name, title, paper, stages, axes, hyperparameters, presets, searched values."""
    return [_method_entry(name, method) for name, method in METHODS.items()]


def _method_entry(name: str, method: Method) -> dict[str, Any]:
    defaults = hyperparameters(MethodConfig(name=name)).model_dump(mode="json")
    deferred = [] if method.deferral is None else [{"from": defaults[method.deferral]}]
    return {
        "name": name,
        "title": method.title,
        "paper": method.paper,
        "stages": [{"from": 0.0}, *deferred],
        "axes": list(method.axes),
        "hyperparameters": defaults,
        "presets": {preset: dict(values) for preset, values in method.presets.items()},
        "searched": list(SPACES[name]),
    }


def _searched(dimension: Dimension) -> str:
    if isinstance(dimension, Choices):
        return "one of " + ", ".join(str(choice) for choice in dimension.choices)
    kind = "whole, " if dimension.integer else ""
    return f"{kind}{dimension.low:g} to {dimension.high:g}, {dimension.scale}"


def space_entries() -> list[dict[str, Any]]:
    """Return every searched value: method, value, where it is searched, what the first trial takes."""
    return [
        {
            "method": name,
            "value": value,
            "searched": _searched(dimension),
            "dimension": dimension.model_dump(mode="json"),
            "first trial": getattr(hyperparameters(MethodConfig(name=name)), value),
        }
        for name, space in SPACES.items()
        for value, dimension in space.items()
    ]


def dataset_entries() -> list[dict[str, Any]]:
    """Return every data set: name, title, classes, where its images come from."""
    return [
        {"name": name, "title": entry.title, "classes": entry.classes, "source": entry.source}
        for name, entry in DATASETS.items()
    ]


def methods_markdown() -> str:
    """Return the table of methods that the README shows."""
    rows = [
        f"| `{entry['name']}` | {entry['title']} | {entry['paper']} | {', '.join(entry['axes']) or 'nothing'} "
        f"| {', '.join(f'`{name}`' for name in entry['searched']) or 'training only'} |"
        for entry in method_entries()
    ]
    head = ["| name | method | source | differs from ERM in | searched |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])
