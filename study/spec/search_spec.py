"""Schema of ``search`` in a study file: searcher, pruner, objective and budget."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from search_spaces import Dimension
from search_spaces.grid import LARGEST_GRID
from study.spec.objectives import Bounds, Metrics, check_known, checked_metrics, names_of
from study.spec.search_tables import PRUNERS, SEARCHERS, learns_over_cells
from trainables.core.config import StrictModel
from trainables.core.errors import unknown_name

SEARCHABLE_TRAINING = ("lr", "weight_decay", "momentum", "layer_decay", "clip_norm", "ema", "rand_magnitude", "cutout")
"""Fields of `TrainingConfig` that a study may search in addition to the method's params."""


def _name_or_names(given: Any) -> Any:
    names = list(given) if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("must be the name of a metric, or a list of names")
    return given if isinstance(given, str) else tuple(names)


def _listed(given: Any) -> Any:
    """Turn a single name into a tuple of one."""
    return (given,) if isinstance(given, str) else given


def named(given: Any) -> Any:
    """Turn a single name into a mapping with only ``name``."""
    return {"name": given} if isinstance(given, str) else given


class PrunerSpec(StrictModel):
    """The pruner, which stops trials early. Epochs count from the last switch of stages.

    Attributes:
        name: ``none``, ``median``, ``percentile``, ``successive-halving``, ``hyperband``, ``threshold``, ``ratio-gp``,
            or one of a plug-in.
        warmup_epochs: epochs before the first decision; the first rung (successive halving, hyperband).
        startup_trials: complete trials before the first decision, of the cell (median, percentile), of all cells of
            the method (ratio-gp).
        percentile: percentage of trials that are kept (percentile).
        reduction_factor: one trial in this many is promoted (successive halving, hyperband).
        lower: a metric below it stops the trial (threshold).
        upper: a metric above it stops the trial (threshold).
        least_chance: a trial with a smaller chance to become the best of its cell is stopped (ratio-gp).
        patience: with any pruner, stop only trials that did not improve for this many epochs; None disables it.
        min_delta: a best value lower by at most this much still counts as an improvement (patience).
    """

    name: str = "median"
    warmup_epochs: int = Field(1, ge=1)
    startup_trials: int = Field(4, ge=0)
    percentile: float = Field(50.0, gt=0, lt=100)
    reduction_factor: int = Field(3, ge=2)
    lower: float | None = Field(None, allow_inf_nan=False)
    upper: float | None = Field(None, allow_inf_nan=False)
    least_chance: float = Field(0.1, gt=0, lt=1)
    patience: int | None = Field(None, ge=1)
    min_delta: float = Field(0.0, ge=0, allow_inf_nan=False)

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if not PRUNERS.knows(name):
            raise unknown_name("pruner", name, PRUNERS.known_names())
        return name

    @model_validator(mode="after")
    def _threshold_has_bounds(self) -> PrunerSpec:
        if self.name == "threshold" and self.lower is None and self.upper is None:
            raise ValueError("`lower`, `upper` or both must be given with name threshold")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"`lower` must be < `upper`, got lower {self.lower:g} and upper {self.upper:g}")
        return self


class SearchSpec(StrictModel):
    """Searcher, objective and budget.

    Attributes:
        trials: trials per cell, whatever their final state; the number of full trials with ``budget: epochs``.
        budget: ``trials`` gives every cell the same number of trials, ``epochs`` the same number of training epochs,
            ``trials`` x `training.epochs`.
        metric: the objective, a recorded metric at the selected epoch; several make the search multi-objective.
        select: the epoch that is a trial's result: the ``last``, or the ``best`` on validation by the metric.
        constraints: recorded metric -> bounds at the selected epoch that the best trial must satisfy.
        searcher: ``tpe``, ``gp``, ``cmaes``, ``random``, ``qmc``, ``grid``, ``ratio-gp``, or one of a
            plug-in.
        grid_points: number of points of a range without a grid of its own (grid).
        preset_prior: strength of the preset's setting as a prior, which decays with the cell's trials (ratio-gp).
        transfer: if true, cells try the best params of the other cells of their method; true, or false with a
            searcher that learns from all cells.
        warm_start: earlier studies in the same storage; cells try their best params after the preset's.
        pruner: the pruner; ``none`` with several metrics.
        training: field of ``training``, for example ``lr`` -> range or choices, searched in every cell.
        epochs_total: limit on the trained epochs of the whole study, shared ones counted once; None means no limit.
        stop_cell_after: a cell whose best value did not improve over this many ended trials gets no new trials.
        wall_hours: no trial starts after this many hours; None means no limit.
        concurrency: number of trials at a time; None uses the whole machine or cluster.
        cell_concurrency: number of trials of one cell at a time; None means no limit.
        order: order of the cells: ``fair``, ``ratio-ascending`` or ``ratio-descending``.
    """

    trials: int = Field(20, ge=1)
    budget: Literal["trials", "epochs"] = "trials"
    metric: Annotated[Metrics, BeforeValidator(_name_or_names)] = "balanced_accuracy"
    select: Literal["last", "best"] = "last"
    constraints: dict[str, Bounds] = Field(default_factory=dict)
    searcher: str = "tpe"
    grid_points: int = Field(5, ge=2, le=LARGEST_GRID)
    preset_prior: float = Field(0.0, ge=0, allow_inf_nan=False)
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

    @model_validator(mode="before")
    @classmethod
    def _no_transfer_beside_a_model_of_all_cells(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "transfer" in given:
            return given
        searcher = given.get("searcher")
        return {**given, "transfer": False} if isinstance(searcher, str) and learns_over_cells(searcher) else given

    @field_validator("metric")
    @classmethod
    def _known_metrics(cls, metric: Metrics) -> Metrics:
        return checked_metrics(metric)

    @field_validator("searcher")
    @classmethod
    def _known_searcher(cls, searcher: str) -> str:
        if not SEARCHERS.knows(searcher):
            raise unknown_name("searcher", searcher, SEARCHERS.known_names())
        return searcher

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
                f"`pruner` must be none (the default) with several metrics, got {self.pruner.name}: "
                f"Optuna prunes by a single metric"
            )
        return self

    @model_validator(mode="after")
    def _ranked_by_one_metric(self) -> SearchSpec:
        if len(self.metrics) > 1 and self.searcher in ("cmaes", "ratio-gp"):
            raise ValueError(
                f"`searcher` {self.searcher} supports only one metric; with several, allowed: "
                f"tpe, gp, random, qmc, grid"
            )
        return self

    @model_validator(mode="after")
    def _selected_by_one_metric(self) -> SearchSpec:
        if len(self.metrics) > 1 and self.select == "best":
            raise ValueError("`select` best needs a single metric; with several, allowed: last")
        return self

    @property
    def select_by(self) -> str | None:
        """The metric by which each trial's best epoch is selected; None takes the last epoch."""
        return self.metrics[0] if self.select == "best" else None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The objectives. The first one ranks trials where only one metric can be shown."""
        return names_of(self.metric)

    @property
    def recorded(self) -> tuple[str, ...]:
        """The objectives, then the metrics with constraints, each once."""
        return tuple(dict.fromkeys((*self.metrics, *self.constraints)))

    @field_validator("training")
    @classmethod
    def _searchable(cls, training: dict[str, Dimension]) -> dict[str, Dimension]:
        for name in training:
            if name not in SEARCHABLE_TRAINING:
                raise unknown_name("searched training field", name, SEARCHABLE_TRAINING)
        return training
