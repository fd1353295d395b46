"""Searchers and pruners by name: those of plug-ins, as factories of Optuna's classes, beside the project's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_spaces import Space
from trainables.core.plugin_table import Table

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class CellTrials:
    """The trials of one cell of a method.

    Attributes:
        name: the cell's name.
        task: data set and kind of profile; cells of one task differ only in their ratio, or are folds.
        ratio: the imbalance ratio.
        trials: its trials in the ledger, in the order of their numbers, queued ones included. They are not copies.
    """

    name: str
    task: str
    ratio: float
    trials: Sequence[FrozenTrial]


@dataclass(frozen=True)
class SearcherContext:
    """What a searcher may use.

    Attributes:
        seed: of this trial. A searcher is built for every trial, so that a resumed study proposes the same params:
            what it knows it reads from the trials of its Optuna study.
        number: of this trial in its cell, from 0.
        space: the cell's search space.
        distributions: the same as Optuna samples it.
        cell: the cell's name.
        method_seed: the same for all cells of the method.
        preset: the preset's params, in the space.
        preset_prior: strength of the prior around them, `search.preset_prior`.
        epochs: number of epochs of a trial.
        earlier_epochs: number of epochs before a trial's last stage.
        selects_best: True if a trial's result is that of its best epoch.
        method_trials: returns the trials of all cells of the method, this one included, in the order of the study;
            empty if the searcher is built without a ledger.
    """

    seed: int
    number: int
    space: Space
    distributions: Mapping[str, BaseDistribution]
    cell: str = ""
    method_seed: int = 0
    preset: Mapping[str, Any] = field(default_factory=dict)
    preset_prior: float = 0.0
    epochs: int = 1
    earlier_epochs: int = 0
    selects_best: bool = False
    method_trials: Callable[[], Sequence[CellTrials]] = tuple


@dataclass(frozen=True)
class PrunerContext:
    """What a pruner may use.

    Attributes:
        first_epoch: number of epochs before a trial's last stage; earlier epochs are not shown to it.
        last_epoch: number of epochs of a trial.
        warmup_epochs: epochs of the last stage before the first decision, as the study file asks.
        space: the cell's search space.
        cell: the cell's name.
        method_trials: returns the trials of all cells of the method, this one included, in the order of the study.
    """

    first_epoch: int
    last_epoch: int
    warmup_epochs: int
    space: Space = field(default_factory=dict)
    cell: str = ""
    method_trials: Callable[[], Sequence[CellTrials]] = tuple


@dataclass(frozen=True, kw_only=True)
class Searcher:
    """A searcher of a plug-in: ``name`` under `search.searcher`, and a function that builds Optuna's sampler.

    Attributes:
        over_cells: True if it learns from the trials of all cells of the method (`SearcherContext.method_trials`);
            `search.transfer` is then false unless a study file says otherwise.
    """

    name: str
    build: Callable[[SearcherContext], BaseSampler]
    over_cells: bool = False


@dataclass(frozen=True, kw_only=True)
class Pruner:
    """A pruner of a plug-in: ``name`` under `search.pruner`, and a function that builds Optuna's pruner.

    A pruner decides by the values in the ledger alone, so that a resumed study prunes the same trials.
    """

    name: str
    build: Callable[[PrunerContext], BasePruner]


_OWN_SEARCHERS = ("tpe", "gp", "cmaes", "random", "qmc", "grid", "ratio-gp")
_OVER_CELLS = ("ratio-gp",)
_OWN_PRUNERS = ("none", "median", "percentile", "successive-halving", "hyperband", "threshold", "ratio-gp")
SEARCHERS: Table[Searcher] = Table("searchers", Searcher, {}, reserved=_OWN_SEARCHERS)
"""Searchers of plug-ins; those of this project are built by `study.search.sampler_factory`."""
PRUNERS: Table[Pruner] = Table("pruners", Pruner, {}, reserved=_OWN_PRUNERS)
"""Pruners of plug-ins; those of this project are built by `study.search.pruners`."""


def learns_over_cells(name: str) -> bool:
    """Return True if a searcher learns from the trials of all cells of a method; False for unknown names.

    Raises:
        BadInput: it stands in an installed package that cannot be imported.
    """
    return name in _OVER_CELLS or ((own := SEARCHERS.get(name)) is not None and own.over_cells)
