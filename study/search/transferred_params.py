"""Params that a cell tries because they were good in another cell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from search_spaces import Space
from search_spaces.encoding import moved_names, nearest_params, same_params
from study.search.trial_params import params_of


@dataclass(frozen=True)
class TransferredParams:
    """Params for a trial and their source.

    Attributes:
        params: searched name -> natural value.
        source: ``transfer: <cell>/<number>`` or ``warm start: <study> <cell>/<number>``.
    """

    params: dict[str, Any]
    source: str

    def params_in(self, space: Space) -> dict[str, Any]:
        """Return the natural params in a cell's space; values outside it are moved to the nearest end."""
        return nearest_params(space, self.params)

    def param_source(self, space: Space) -> str:
        """Return the source, with the names of params that were moved into the space."""
        return with_moved_names(self.source, space, self.params)


def with_moved_names(source: str, space: Space, params: dict[str, Any]) -> str:
    """Return the param source, with the names of params that were moved into the range."""
    moved = moved_names(space, params)
    return f"{source}, {' and '.join(moved)} moved into the range" if moved else source


def is_new(params: dict[str, Any], trials: Iterable[FrozenTrial], space: Space) -> bool:
    """Return True if no trial of a cell, queued ones included, has exactly these natural params."""
    return not any(same_params(params, params_of(trial, space)) for trial in trials)
