"""Between values of hyperparameters and what Optuna samples: the one place that translates a whole space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search_spaces.dimension import Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Return what Optuna samples from, by the names under which the ledger holds the values."""
    return {dimension.searched_name(name): dimension.distribution() for name, dimension in space.items()}


def decode(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """Translate what the ledger holds under Optuna's names into values of hyperparameters."""
    return {
        name: dimension.decode(params[dimension.searched_name(name)])
        for name, dimension in space.items()
        if dimension.searched_name(name) in params
    }
