"""``study methods NAME``: one method with its formula, params, presets, stages and source."""

from __future__ import annotations

import json
from typing import Any

from search_spaces import SPACES
from study.report.catalog_tables import method_entry, searched, title_of
from trainables.core.config import MethodConfig
from trainables.methods.registry import METHODS, family_of, method_named, prefix_of

Page = dict[str, Any]


def method_page(name: str) -> Page:
    """Return everything that the tables of the code say of a method.

    Returns:
        The entry of `catalog_tables.method_entries`, and ``page`` (its page of formulas and choices),
        ``hyperparameters`` (per param default, allowed values, searched range or None), ``repeats`` (the plain method
        that its first stages train like, or None), ``reference`` (the method whose trained network it needs, or None).

    Raises:
        BadInput: no such method; the nearest name is given.
    """
    method = method_named(name)
    entry = method_entry(name, METHODS[name])
    prefix = prefix_of(MethodConfig(name=name))
    schema = method.params.model_json_schema()
    return {
        **entry,
        "page": f"docs/methods/{family_of(name)}.md" if METHODS.is_inside(name) else "",
        "hyperparameters": [
            {
                "param": param,
                "default": default,
                "allowed": _allowed(schema["properties"][param]),
                "searched": searched(SPACES[name][param]) if param in SPACES[name] else None,
            }
            for param, default in entry["params"].items()
        ],
        "repeats": None if prefix is None else prefix.name,
        "reference": method.reference,
    }


def page_lines(page: Page) -> list[str]:
    """Return the lines that introduce a method, above the table of its params."""
    lines = {
        "formula": page["equation"],
        "source": page["paper"],
        "differs from ERM in": ", ".join(page["differs_in"]) or "nothing",
        "stages": _stages(page),
        "needs": f"a network trained with {page['reference']}" if page["reference"] else "",
        "given in part": page["given_in_part"],
        "explained in": page["page"],
        "code": page["file"],
    }
    width = max(map(len, lines)) + 2
    return [f"{page['name']}: {title_of(page)}", *(f"  {f'{k}:':<{width}}{v}" for k, v in lines.items() if v)]


def preset_rows(page: Page) -> list[tuple[str, str]]:
    """Return each preset with the params in which it differs from ``recommended``."""
    presets = {"recommended": {}, **page["presets"]}
    said = {name: ", ".join(f"{param}={in_yaml(v)}" for param, v in values.items()) for name, values in presets.items()}
    plain = {"recommended": "the defaults"}
    return [(name, values or plain.get(name, "the same as recommended")) for name, values in said.items()]


def in_yaml(value: Any) -> str:
    """Return a value as a study file has it.

    >>> in_yaml(True), in_yaml(None), in_yaml(0.5), in_yaml("median")
    ('true', 'null', '0.5', 'median')
    """
    return str(value) if isinstance(value, str) else json.dumps(value)


def _stages(page: Page) -> str:
    starts = [stage["from"] for stage in page["stages"]]
    if len(starts) == 1:
        return (
            "one" if page["repeats"] is None else f"one, trained like {page['repeats']}; the head is changed afterwards"
        )
    before = f"like {page['repeats']}" if page["repeats"] not in (None, page["name"]) else "without the deferred part"
    return f"{before} up to {starts[-1]:.0%} of the epochs, then the method's own"


def _allowed(field: dict[str, Any]) -> str:
    """Return the values that a field's JSON schema allows, as one line."""
    if "anyOf" in field:
        return " or ".join(_allowed(option) for option in field["anyOf"])
    if "enum" in field:
        return ", ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    kind = {"boolean": "true, false", "integer": "integer", "null": "null", "number": "", "string": "text"}
    bounds = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
    limits = ", ".join(f"{sign} {field[key]:g}" for key, sign in bounds.items() if key in field)
    return " ".join(filter(None, (kind.get(field.get("type", ""), ""), limits))) or "any number"
