"""The part of a study file that says how values are chosen, how much may be spent, and what stops trials early."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from search_spaces import Dimension
from search_spaces.grid import LARGEST_GRID
from study.spec.objectives import Bounds, Metrics, check_known, checked_metrics, names_of
from trainables.core.config import StrictModel
from trainables.core.errors import unknown_name

SEARCHABLE_TRAINING = ("lr", "weight_decay", "momentum")
"""Fields of `TrainingConfig` that a study may search beside the method's own."""


def _name_or_names(given: Any) -> Any:
    names = list(given) if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("must be the name of a metric, or a list of names")
    return given if isinstance(given, str) else tuple(names)


def _listed(given: Any) -> Any:
    """Read a lone name as a list of one."""
    return (given,) if isinstance(given, str) else given


def named(given: Any) -> Any:
    """Read a lone name as a mapping that holds nothing else."""
    return {"name": given} if isinstance(given, str) else given


class PrunerSpec(StrictModel):
    """What stops trials early; resources are epochs, counted from the last switch of stages.

    Attributes:
        name: ``none``, ``median``, ``percentile``, ``successive-halving``, ``hyperband`` or ``threshold``.
        warmup_epochs: no decision before so many epochs; the first rung (successive halving, hyperband).
        startup_trials: no decision before so many trials of the cell are complete (median, percentile).
        percentile: keep the best so many percent (percentile).
        reduction_factor: one in so many is promoted (successive halving, hyperband).
        lower: stops what falls below it (threshold).
        upper: stops what rises above it (threshold).
        patience: with any of them, stops only what did not improve for so many epochs; None does not ask for it.
        min_delta: a fall by no more than this still counts as an improvement (patience).
    """

    name: Literal["none", "median", "percentile", "successive-halving", "hyperband", "threshold"] = "median"
    warmup_epochs: int = Field(1, ge=1)
    startup_trials: int = Field(4, ge=0)
    percentile: float = Field(50.0, gt=0, lt=100)
    reduction_factor: int = Field(3, ge=2)
    lower: float | None = Field(None, allow_inf_nan=False)
    upper: float | None = Field(None, allow_inf_nan=False)
    patience: int | None = Field(None, ge=1)
    min_delta: float = Field(0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _threshold_has_bounds(self) -> PrunerSpec:
        if self.name == "threshold" and self.lower is None and self.upper is None:
            raise ValueError("`lower`, `upper` or both must be given with name threshold")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"`lower` must be < `upper`, got lower {self.lower:g} and upper {self.upper:g}")
        return self


class SearchSpec(StrictModel):
    """How values are chosen and how much may be spent.

    Attributes:
        trials: trials per cell, whatever their end.
        metric: a recorded metric that decides, at the last epoch; several are searched for at once.
        constraints: recorded metric -> what it must keep at the last epoch for a trial to be the best.
        searcher: ``tpe``, ``gp``, ``cmaes``, ``random``, ``qmc`` or ``grid``.
        grid_points: of a range that states no grid of its own (grid).
        transfer: whether a cell tries the best values of finished cells of its method.
        warm_start: earlier studies of the storage, whose best values a cell tries after its preset's.
        training: fields of ``training`` searched in every cell, for example ``lr``.
        epochs_total: trained epochs of the whole study, shared ones counted once; None means no limit.
        stop_cell_after: a cell whose best did not improve over so many ended trials gets no new ones.
        wall_hours: after so many hours no new trial starts; None means no limit.
        concurrency: trials at a time; None fills the machine or the cluster.
        cell_concurrency: trials of one cell at a time; None sets no limit.
        order: whose turn it is: ``fair``, or the smallest or the largest ratio first.
    """

    trials: int = Field(20, ge=1)
    metric: Annotated[Metrics, BeforeValidator(_name_or_names)] = "balanced_accuracy"
    constraints: dict[str, Bounds] = Field(default_factory=dict)
    searcher: Literal["tpe", "gp", "cmaes", "random", "qmc", "grid"] = "tpe"
    grid_points: int = Field(5, ge=2, le=LARGEST_GRID)
    transfer: bool = True
    warm_start: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    pruner: Annotated[PrunerSpec, BeforeValidator(named)] = PrunerSpec()
    training: dict[str, Dimension] = Field(default_factory=dict)
    epochs_total: int | None = Field(None, ge=1)
    stop_cell_after: int | None = Field(None, ge=1)
    wall_hours: float | None = Field(None, gt=0)
    concurrency: int | None = Field(None, ge=1)
    cell_concurrency: int | None = Field(None, ge=1)
    order: Literal["fair", "ratio-ascending", "ratio-descending"] = "fair"

    @model_validator(mode="before")
    @classmethod
    def _no_pruner_for_several_metrics(cls, given: Any) -> Any:
        metric = given.get("metric") if isinstance(given, dict) else None
        return {"pruner": "none", **given} if isinstance(metric, (list, tuple)) and len(metric) > 1 else given

    @field_validator("metric")
    @classmethod
    def _known_metrics(cls, metric: Metrics) -> Metrics:
        return checked_metrics(metric)

    @field_validator("constraints")
    @classmethod
    def _known_constraints(cls, constraints: dict[str, Bounds]) -> dict[str, Bounds]:
        for name in constraints:
            check_known(name)
        return constraints

    @model_validator(mode="after")
    def _only_one_metric_is_pruned_by(self) -> SearchSpec:
        if len(self.metrics) > 1 and self.pruner.name != "none":
            raise ValueError(
                f"`pruner` must be none, its default, with several metrics, got {self.pruner.name}: "
                f"Optuna judges a trial that is under way by one metric alone"
            )
        return self

    @model_validator(mode="after")
    def _ranked_by_one_metric(self) -> SearchSpec:
        if len(self.metrics) > 1 and self.searcher == "cmaes":
            raise ValueError("`searcher` cmaes ranks by one metric; with several allowed: tpe, gp, random, qmc, grid")
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that decide; the first ranks and is shown where only one can be."""
        return names_of(self.metric)

    @property
    def recorded(self) -> tuple[str, ...]:
        """The metrics that decide, and those that have bounds to keep."""
        return tuple(dict.fromkeys((*self.metrics, *self.constraints)))

    @field_validator("training")
    @classmethod
    def _searchable(cls, training: dict[str, Dimension]) -> dict[str, Dimension]:
        for name in training:
            if name not in SEARCHABLE_TRAINING:
                raise unknown_name("searched training value", name, SEARCHABLE_TRAINING)
        return training
