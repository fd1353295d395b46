"""StudySpec: the study file, checked; every error names its path in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from search_spaces import Dimension
from study.spec.confirm_spec import ConfirmSpec
from study.spec.search_spec import PrunerSpec, SearchSpec, named
from trainables.core.config import DataConfig, MethodConfig, ModelConfig, ProfileConfig, StrictModel, TrainingConfig
from trainables.core.errors import BadInput, unknown_name
from trainables.core.paths import data_folder_named, folder_named

_RESERVED = ("mlflow.db", "mlartifacts", "shared")
STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


def _one_or_many(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else (given,)


def _not_reserved(name: str) -> str:
    if name in _RESERVED:
        raise ValueError(f"must not be {' or '.join(_RESERVED)}: files of the storage itself are called so")
    return name


class ProfileSpec(StrictModel):
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


class DataSpec(StrictModel):
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


class MethodSpec(StrictModel):
    """A method of the study: a preset, values set by hand, and changes to what is searched.

    Attributes:
        name: a name of ``study methods``.
        label: what tables call it, when a method stands in a study more than once.
        preset: named values to start from.
        params: hyperparameters that differ from the preset's; these are not searched.
        search: hyperparameter -> range or choices, in place of the method's own space.
    """

    name: str
    label: str | None = Field(None, pattern=STUDY_NAME)
    preset: str = "recommended"
    params: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Dimension] | None = None

    def config(self) -> MethodConfig:
        """Return the method with the params that hold wherever nothing is searched."""
        return MethodConfig(name=self.name, preset=self.preset, params=self.params)


class ResourcesSpec(StrictModel):
    """What one trial takes, and how often it is tried again after its machine failed."""

    cpus: int = Field(1, ge=1)
    gpus: float = Field(0.0, ge=0)
    retries: int = Field(2, ge=0)


class RecordsSpec(StrictModel):
    """Where records and ledger live; None is inside the storage folder.

    Attributes:
        tracking_uri: MLflow server or SQLite file.
        ledger: database URL of the Optuna storage, for example PostgreSQL.
    """

    tracking_uri: str | None = None
    ledger: str | None = None


class StudySpec(StrictModel):
    """A whole study file."""

    name: Annotated[str, AfterValidator(_not_reserved)] = Field(pattern=STUDY_NAME)
    question: str = ""
    seed: int = Field(0, ge=0)
    data: tuple[DataSpec, ...] = Field(min_length=1)
    methods: tuple[Annotated[MethodSpec, BeforeValidator(named)], ...] = Field(min_length=1)
    model: Annotated[ModelConfig, BeforeValidator(named)] = ModelConfig()
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

    def with_data_dir(
        self, folder: str | Path | None, *, origin: str = "--data-dir", everywhere: bool = False
    ) -> StudySpec:
        """Return the study with absolute data folders: a worker may have another folder and environment.

        Args:
            folder: for data sets that name none; None leaves those to their built-in source.
            origin: what names the folder, for the message: an option or an environment variable.
            everywhere: put it in place of the folders that are named, too.

        Raises:
            BadInput: the folder is needed and there is none; or none can be named like one of the file.
        """
        given = None
        if folder is not None and (everywhere or not all(spec.data_dir for spec in self.data)):
            given = str(data_folder_named(folder, origin))
        data = tuple(spec.model_copy(update={"data_dir": _absolute(spec, given, everywhere)}) for spec in self.data)
        return self.model_copy(update={"data": data})


def _absolute(spec: DataSpec, given: str | None, everywhere: bool) -> str | None:
    named = None if everywhere and given is not None else spec.data_dir
    return str(folder_named(named, "`data_dir`")) if named else given


__all__ = ["BadInput", "DataSpec", "MethodSpec", "PrunerSpec", "SearchSpec", "StudySpec"]
