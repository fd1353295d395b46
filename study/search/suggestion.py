"""Values that a cell is to try because they were good elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from search_spaces import Space
from search_spaces.grid import same_value


@dataclass(frozen=True)
class Suggestion:
    """Values for a trial, and where they come from.

    Attributes:
        params: searched name -> value, in the method's own units.
        source: ``transfer: <cell>/<number>`` or ``warm start: <study> <cell>/<number>``.
    """

    params: dict[str, Any]
    source: str

    def encoded(self, space: Space) -> dict[str, Any]:
        """Return the values as the ledger holds them, those outside of the space moved to its nearest end."""
        return {d.searched_name(name): d.encode(self.params[name]) for name, d in space.items()}

    def origin(self, space: Space) -> str:
        """Return the source, with what the space does not hold of the values."""
        moved = moved_names(space, self.params)
        return f"{self.source}, {' and '.join(moved)} moved into the range" if moved else self.source


def moved_names(space: Space, values: dict[str, Any]) -> list[str]:
    """Return the names whose values the space does not hold."""
    return [n for n, d in space.items() if not same_value(d.decode(d.encode(values[n])), values[n])]


def origin_of(trial: FrozenTrial) -> str:
    """Return where the values of a trial came from; empty where the searcher proposed them."""
    return str(trial.user_attrs.get("origin", ""))


def fixed_params(trial: FrozenTrial) -> dict[str, Any]:
    """Return a trial's values in the ledger's units, also those that a queued trial is yet to take."""
    queued: dict[str, Any] = trial.system_attrs.get("fixed_params", {})
    return {**queued, **trial.params}


def is_new(params: dict[str, Any], trials: Iterable[FrozenTrial]) -> bool:
    """Tell whether no trial has these values, in the ledger's units."""
    return not any(_same(params, fixed_params(trial)) for trial in trials)


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(same_value(value, other[name]) for name, value in one.items())
