"""StudySpec: the study file, checked; every error names its path in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from search_spaces import Dimension
from study.yaml_file import read_yaml
from trainables.config import (
    DataConfig,
    Frozen,
    MethodConfig,
    ModelConfig,
    ProfileConfig,
    TrainingConfig,
)
from trainables.errors import BadInput, unknown_name
from trainables.folder_names import folder_named

SEARCHABLE_TRAINING = ("lr", "weight_decay", "momentum")
"""Fields of `TrainingConfig` that a study may search beside the method's own."""

_RESERVED = ("mlflow.db", "mlartifacts", "shared")
STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _one_or_many(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else (given,)


def _named(given: Any) -> Any:
    return {"name": given} if isinstance(given, str) else given


def _not_reserved(name: str) -> str:
    if name in _RESERVED:
        raise ValueError(f"must not be {' or '.join(_RESERVED)}: files of the storage itself are called so")
    return name


class ProfileSpec(Frozen):
    """Imbalance profiles of one kind; a list of ratios stands for one profile each."""

    kind: Literal["long_tail", "step", "fraction", "natural"] = "long_tail"
    ratio: Annotated[tuple[float, ...], BeforeValidator(_one_or_many)] = ()
    minority: Literal["last", "first", "odd", "even"] = "last"

    @model_validator(mode="after")
    def _ratios(self) -> ProfileSpec:
        if self.kind == "natural" and self.ratio:
            raise ValueError("`ratio` must be left out with kind natural")
        if self.kind != "natural" and not self.ratio:
            raise ValueError(f"`ratio` must be given with kind {self.kind}: a number >= 1, or a list")
        for ratio in self.ratio:
            if not 1 <= ratio < float("inf"):
                raise ValueError(f"`ratio` must be >= 1, got {ratio:g}")
        return self

    def profiles(self) -> list[ProfileConfig]:
        """Return one profile for every ratio."""
        if self.kind == "natural":
            return [ProfileConfig(kind="natural")]
        return [ProfileConfig(kind=self.kind, ratio=r, minority=self.minority) for r in self.ratio]


class DataSpec(Frozen):
    """A data set and the profiles it is studied under; the other fields as in `DataConfig`."""

    dataset: str
    label: str | None = Field(None, pattern=STUDY_NAME)
    data_dir: str | None = None
    image_size: int | None = Field(None, ge=1, le=4096)
    profiles: tuple[ProfileSpec, ...] = Field(min_length=1)
    protocol: Literal["holdout", "published", "m2m", "test-select"] = "holdout"
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    label_noise: float = Field(0.0, ge=0, lt=1)
    subset_seed: int = Field(0, ge=0)
    memory_budget_gb: float = Field(8.0, ge=0, allow_inf_nan=False)

    @field_validator("data_dir")
    @classmethod
    def _possible(cls, data_dir: str | None) -> str | None:
        if data_dir is not None:
            folder_named(data_dir, "`data_dir`")
        return data_dir

    def configs(self) -> list[DataConfig]:
        """Return one `DataConfig` for every profile."""
        shared = self.model_dump(exclude={"label", "profiles"})
        return [DataConfig(profile=p, **shared) for spec in self.profiles for p in spec.profiles()]


class MethodSpec(Frozen):
    """A method of the study: a preset, values set by hand, and changes to what is searched.

    Attributes:
        name: a name of ``study methods``.
        label: what tables call it, when a method stands in a study more than once.
        preset: named values to start from.
        values: hyperparameters that differ from the preset's; these are not searched.
        search: hyperparameter -> range or choices, in place of the method's own space.
    """

    name: str
    label: str | None = Field(None, pattern=STUDY_NAME)
    preset: str = "recommended"
    values: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Dimension] | None = None

    def config(self) -> MethodConfig:
        """Return the method with the values that hold wherever nothing is searched."""
        return MethodConfig(name=self.name, preset=self.preset, hyperparameters=self.values)


class PrunerSpec(Frozen):
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


class SearchSpec(Frozen):
    """How values are chosen and how much may be spent.

    Attributes:
        trials: trials per cell, whatever their end.
        metric: a recorded metric of ``study datasets`` and its kin that decides, at the last epoch.
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
    metric: str = "balanced_accuracy"
    searcher: Literal["tpe", "gp", "cmaes", "random", "qmc", "grid"] = "tpe"
    grid_points: int = Field(5, ge=2)
    transfer: bool = True
    warm_start: tuple[str, ...] = ()
    pruner: Annotated[PrunerSpec, BeforeValidator(_named)] = PrunerSpec()
    training: dict[str, Dimension] = Field(default_factory=dict)
    epochs_total: int | None = Field(None, ge=1)
    stop_cell_after: int | None = Field(None, ge=1)
    wall_hours: float | None = Field(None, gt=0)
    concurrency: int | None = Field(None, ge=1)
    cell_concurrency: int | None = Field(None, ge=1)
    order: Literal["fair", "ratio-ascending", "ratio-descending"] = "fair"

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, metric: str) -> str:
        from trainables.metrics import METRICS

        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        return metric

    @field_validator("training")
    @classmethod
    def _searchable(cls, training: dict[str, Dimension]) -> dict[str, Dimension]:
        for name in training:
            if name not in SEARCHABLE_TRAINING:
                raise unknown_name("searched training value", name, SEARCHABLE_TRAINING)
        return training


class ResourcesSpec(Frozen):
    """What one trial takes, and how often it is tried again after its machine failed."""

    cpus: int = Field(1, ge=1)
    gpus: float = Field(0.0, ge=0)
    retries: int = Field(2, ge=0)


class RecordsSpec(Frozen):
    """Where records and ledger live; None is inside the storage folder.

    Attributes:
        tracking_uri: MLflow server or SQLite file.
        ledger: database URL of the Optuna storage, for example PostgreSQL.
    """

    tracking_uri: str | None = None
    ledger: str | None = None


class StudySpec(Frozen):
    """A whole study file."""

    name: Annotated[str, AfterValidator(_not_reserved)] = Field(pattern=STUDY_NAME)
    question: str = ""
    seed: int = Field(0, ge=0)
    data: tuple[DataSpec, ...] = Field(min_length=1)
    methods: tuple[Annotated[MethodSpec, BeforeValidator(_named)], ...] = Field(min_length=1)
    model: Annotated[ModelConfig, BeforeValidator(_named)] = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    search: SearchSpec = SearchSpec()
    resources: ResourcesSpec = ResourcesSpec()
    records: RecordsSpec = RecordsSpec()

    def with_data_dir(self, folder: Path | None, *, everywhere: bool = False) -> StudySpec:
        """Return the study with absolute data folders: a worker may have another folder and environment.

        Args:
            folder: for data sets that name none; None leaves those to their built-in source.
            everywhere: put it in place of the folders that are named, too.
        """
        data = tuple(spec.model_copy(update={"data_dir": _absolute(spec, folder, everywhere)}) for spec in self.data)
        return self.model_copy(update={"data": data})


def _absolute(spec: DataSpec, folder: Path | None, everywhere: bool) -> str | None:
    named = None if everywhere and folder is not None else spec.data_dir
    if named:
        return str(folder_named(named, "`data_dir`"))
    return None if folder is None else str(folder_named(folder, "--data-dir"))


def load_spec(path: Path, overrides: tuple[str, ...] = ()) -> StudySpec:
    """Read and check a study file.

    Args:
        path: the YAML file.
        overrides: ``path=value`` pairs that replace parts of it, values in YAML.

    Raises:
        BadInput: no such file, not YAML, or a value that cannot be; names file, path and value.
    """
    from study.checks import checked_spec

    return checked_spec(read_yaml(path), overrides, source=str(path))


__all__ = ["BadInput", "DataSpec", "MethodSpec", "PrunerSpec", "SearchSpec", "StudySpec", "load_spec"]
