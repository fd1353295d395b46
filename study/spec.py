"""StudySpec: the study file, checked; every error names its path in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from search_spaces import Dimension
from study.confirmation import ConfirmSpec
from study.objectives import Bounds, Metrics, check_known, checked_metrics, names_of
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

SEARCHABLE_TRAINING = ("lr", "weight_decay", "momentum")
"""Fields of `TrainingConfig` that a study may search beside the method's own."""

_RESERVED = ("mlflow.db", "mlartifacts", "shared")
STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _one_or_many(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else (given,)


def _name_or_names(given: Any) -> Any:
    names = list(given) if isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(name, str) for name in names):
        raise ValueError("must be the name of a metric, or a list of names")
    return given if isinstance(given, str) else tuple(names)


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
    profiles: tuple[ProfileSpec, ...] = Field(min_length=1)
    protocol: Literal["holdout", "m2m", "test-select"] = "holdout"
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    label_noise: float = Field(0.0, ge=0, lt=1)
    subset_seed: int = Field(0, ge=0)

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
        name: ``none``, ``median``, ``percentile`` or ``successive-halving``.
        warmup_epochs: no decision before so many epochs.
        startup_trials: no decision before so many trials of the cell are complete (median, percentile).
        percentile: keep the best so many percent (percentile).
        reduction_factor: one in so many is promoted (successive halving).
    """

    name: Literal["none", "median", "percentile", "successive-halving"] = "median"
    warmup_epochs: int = Field(1, ge=1)
    startup_trials: int = Field(4, ge=0)
    percentile: float = Field(50.0, gt=0, lt=100)
    reduction_factor: int = Field(3, ge=2)


class SearchSpec(Frozen):
    """How values are chosen and how much may be spent.

    Attributes:
        trials: trials per cell, whatever their end.
        metric: a recorded metric that decides, at the last epoch; several are searched for at once.
        constraints: recorded metric -> what it must keep at the last epoch for a trial to be the best.
        searcher: ``tpe``, ``random``, ``qmc`` or ``gp``.
        training: fields of ``training`` searched in every cell, for example ``lr``.
        wall_hours: after so many hours no new trial starts; None means no limit.
        concurrency: trials at a time; None fills the machine or the cluster.
    """

    trials: int = Field(20, ge=1)
    metric: Annotated[Metrics, BeforeValidator(_name_or_names)] = "balanced_accuracy"
    constraints: dict[str, Bounds] = Field(default_factory=dict)
    searcher: Literal["tpe", "random", "qmc", "gp"] = "tpe"
    pruner: Annotated[PrunerSpec, BeforeValidator(_named)] = PrunerSpec()
    training: dict[str, Dimension] = Field(default_factory=dict)
    wall_hours: float | None = Field(None, gt=0)
    concurrency: int | None = Field(None, ge=1)

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
    confirm: ConfirmSpec | None = None
    resources: ResourcesSpec = ResourcesSpec()
    records: RecordsSpec = RecordsSpec()

    @model_validator(mode="after")
    def _confirms_what_is_searched(self) -> StudySpec:
        metric = self.confirm.metric if self.confirm is not None else None
        if metric is not None and metric not in self.search.metrics:
            raise unknown_name("searched metric under confirm.metric:", metric, self.search.metrics)
        return self

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
    place = named or folder
    return None if place is None else str(Path(place).expanduser().resolve())


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
