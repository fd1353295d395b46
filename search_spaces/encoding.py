"""Conversion between natural params and Optuna's samples: the one place that converts a whole space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search_spaces.dimension import Space, same_value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Return the Optuna distributions of a space, by the names that the ledger uses."""
    return {dimension.searched_name(name): dimension.distribution() for name, dimension in space.items()}


def same_params(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return True if two settings have the same names and exactly the same natural values.

    >>> same_params({"beta": 0.9999}, {"beta": 1 - (1 - 0.9999)}), same_params({"scale": 30}, {"scale": 64})
    (True, False)
    """
    return one.keys() == other.keys() and all(same_value(value, other[name]) for name, value in one.items())


def nearest_params(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """Return the params that a space searches; values outside it are moved to the nearest end."""
    return {name: dimension.nearest(params[name]) for name, dimension in space.items()}


def moved_names(space: Space, params: dict[str, Any]) -> list[str]:
    """Return the names of params whose values lie outside the space."""
    return [name for name, value in nearest_params(space, params).items() if not same_value(value, params[name])]


def encode(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """Convert natural params to Optuna's names and values."""
    return {dimension.searched_name(name): dimension.encode(params[name]) for name, dimension in space.items()}


def decode(space: Space, params: dict[str, Any]) -> dict[str, Any]:
    """Convert Optuna's names and values to natural params; missing names are left out."""
    return {
        name: dimension.decode(params[dimension.searched_name(name)])
        for name, dimension in space.items()
        if dimension.searched_name(name) in params
    }
