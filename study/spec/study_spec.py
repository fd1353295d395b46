"""Schema of the study file. Every error names the path of the faulty key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from search_spaces import Dimension
from study.spec.confirm_spec import BASELINE, ConfirmSpec
from study.spec.search_spec import PrunerSpec, SearchSpec, named
from trainables.core.config import (
    DataConfig,
    MethodConfig,
    ModelConfig,
    ProfileConfig,
    StrictModel,
    TrainingConfig,
    check_folds,
)
from trainables.core.errors import BadInput, unknown_name
from trainables.core.hf_name import hf_name, is_hf
from trainables.core.paths import data_folder_named, folder_named
from trainables.core.url_secrets import hidden_ledger, hidden_tracking

STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_LONGEST_DATASET = 200
"""Characters: a folder of the data set's name must be possible."""
_MOST_LISTED = 200
"""Entries of `data` and of `methods`."""
MOST_CELLS = 5_000
"""Cells of a study: one for every data set, profile, fold and method."""
_RESERVED = re.compile(r"mlflow\.db.*|mlartifacts|shared|.*\.(lock|partial)", re.IGNORECASE)
"""Files and folders of the storage folder. MLflow's database has files beside it, such as ``mlflow.db-journal``."""


def _one_or_many(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else (given,)


def _not_reserved(name: str) -> str:
    if _RESERVED.fullmatch(name):
        raise ValueError(
            "must not be shared or mlartifacts, begin with mlflow.db or end with .lock or .partial: "
            "the storage folder uses these names itself"
        )
    return name


class ProfileSpec(StrictModel):
    """Imbalance profiles of one kind; a list of ratios gives one profile per ratio."""

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
    """A data set and its imbalance profiles; other fields have the meaning they have in `DataConfig`.

    With ``folds``, every profile gives one configuration per fold.
    """

    dataset: str = Field(min_length=1, max_length=_LONGEST_DATASET)
    label: str | None = Field(None, pattern=STUDY_NAME)
    data_dir: str | None = None
    image_size: int | None = Field(None, ge=1, le=4096)
    profiles: tuple[ProfileSpec, ...] = Field(min_length=1)
    protocol: Literal["holdout", "published", "m2m", "test-select"] = "holdout"
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    label_noise: float = Field(0.0, ge=0, lt=1)
    subset_seed: int = Field(0, ge=0)
    test_fraction: float = Field(0.2, gt=0, lt=1, allow_inf_nan=False)
    test_seed: int = Field(0, ge=0)
    folds: int | None = Field(None, ge=2)
    memory_budget_gb: float = Field(8.0, ge=0, allow_inf_nan=False)

    @field_validator("dataset")
    @classmethod
    def _of_a_form(cls, dataset: str) -> str:
        if is_hf(dataset):
            hf_name(dataset)
        return dataset

    @field_validator("data_dir")
    @classmethod
    def _possible(cls, data_dir: str | None) -> str | None:
        if data_dir is not None:
            folder_named(data_dir, "`data_dir`")
        return data_dir

    @model_validator(mode="after")
    def _folds_of_holdout(self) -> DataSpec:
        if self.folds is not None:
            check_folds(self.protocol, self.validation_fraction)
        return self

    def configs(self) -> list[DataConfig]:
        """Return one `DataConfig` for every profile and fold."""
        shared = self.model_dump(exclude={"label", "profiles"})
        folds: Iterable[int | None] = [None] if self.folds is None else range(self.folds)
        profiles = [profile for spec in self.profiles for profile in spec.profiles()]
        return [DataConfig(profile=profile, fold=fold, **shared) for profile in profiles for fold in folds]


class MethodSpec(StrictModel):
    """A method of the study: a preset, params set by hand, and a search space.

    Attributes:
        name: a name listed by ``study methods``.
        label: name used in cells; required if a method appears twice.
        preset: name of the preset; its params are those of trial 0.
        params: hyperparameters that replace the preset's; they are not searched.
        search: hyperparameter -> range or choices; replaces the method's own space. None keeps that space.
    """

    name: str
    label: str | None = Field(None, pattern=STUDY_NAME)
    preset: str = "recommended"
    params: dict[str, Any] = Field(default_factory=dict)
    search: dict[str, Dimension] | None = None

    def config(self) -> MethodConfig:
        """Return the method with its fixed params and no searched ones."""
        return MethodConfig(name=self.name, preset=self.preset, params=self.params)


class ResourcesSpec(StrictModel):
    """CPU cores and GPUs of one trial, and when it is restarted.

    Attributes:
        cpus: CPU cores of a worker.
        gpus: GPUs of a worker; a fraction lets trials share one.
        workers: processes that train one trial together, each on its share of every batch.
        retries: restarts in a row after its process died without a new epoch.
        hang_minutes: minutes without a training step after which its process is ended; None waits for ever.
        worker_growth_gb: GiB by which a worker's memory may grow after its first trial; one that has grown more is
            replaced before the next trial. None never replaces it.
    """

    cpus: int = Field(1, ge=1)
    gpus: float = Field(0.0, ge=0)
    workers: int = Field(1, ge=1, le=1024)
    retries: int = Field(2, ge=0)
    hang_minutes: float | None = Field(60.0, gt=0, allow_inf_nan=False)
    worker_growth_gb: float | None = Field(4.0, gt=0, allow_inf_nan=False)


class RecordsSpec(StrictModel):
    """Location of MLflow's runs and of the ledger; None means inside the storage folder.

    Attributes:
        tracking_uri: URI of an MLflow server or SQLite file.
        ledger: database URL of the Optuna storage, for example PostgreSQL.
        wait_minutes: minutes for which a ledger in a database is waited for when it goes away while a study runs.

    Passwords in these URLs stay in this process's memory: they are in no field.
    """

    tracking_uri: str | None = None
    ledger: str | None = None
    wait_minutes: float = Field(2.0, ge=0, allow_inf_nan=False)

    # whoever connects asks `trainables.core.url_secrets.revealed`; nothing else ever has the password
    @field_validator("tracking_uri")
    @classmethod
    def _server_without_password(cls, uri: str | None) -> str | None:
        return None if uri is None else hidden_tracking(uri)

    @field_validator("ledger")
    @classmethod
    def _ledger_without_password(cls, url: str | None) -> str | None:
        return None if url is None else hidden_ledger(url)


Phases = Literal["none", "confirm", "all"]


class ArtifactsSpec(StrictModel):
    """Trials for which each kind of artifact is made after the last epoch: none, those of the confirmation, or all.

    Attributes:
        offsets: trained, estimated and empirical offsets per class, of linear heads.
        embedding: t-SNE and UMAP of the features of a class-balanced sample of images.
        mistakes: gallery of the most confident mistakes per class.
        model: the network itself, exported and logged as an MLflow model: of the first seed of every cell's best
            setting (``winner``), of every trial of the confirmation, or of none.
        logits: logits of all validation images, and of all test images in a confirmation.
        checkpoints: trials that keep their last checkpoint after their end, which `study.load_model` reads. Values
            as for ``model``, or ``all``.
    """

    offsets: Phases = "confirm"
    embedding: Phases = "confirm"
    mistakes: Phases = "confirm"
    logits: Phases = "confirm"
    model: Literal["none", "winner", "confirm"] = "winner"
    checkpoints: Literal["none", "winner", "confirm", "all"] = "winner"

    def kinds(self, *, confirms: bool, winner: bool = False) -> tuple[str, ...]:
        """Return the kinds of artifacts that a trial's process makes at its end.

        Args:
            confirms: True for a trial of the confirmation, False for one of the search.
            winner: True for the first seed of a cell's best setting.
        """
        chosen: dict[str, str] = self.model_dump(exclude={"checkpoints"})
        wanted = {"all": True, "confirm": confirms, "winner": winner, "none": False}
        return tuple(kind for kind, phases in chosen.items() if wanted[phases])


class StudySpec(StrictModel):
    """The whole study file.

    Attributes:
        plugins: code of the user's own: files and packages by path, counted from the study file, or modules by name.
    """

    name: Annotated[str, AfterValidator(_not_reserved)] = Field(pattern=STUDY_NAME)
    question: str = ""
    seed: int = Field(0, ge=0)
    data: tuple[DataSpec, ...] = Field(min_length=1, max_length=_MOST_LISTED)
    methods: tuple[Annotated[MethodSpec, BeforeValidator(named)], ...] = Field(min_length=1, max_length=_MOST_LISTED)
    model: Annotated[ModelConfig, BeforeValidator(named)] = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    search: SearchSpec = SearchSpec()
    confirm: ConfirmSpec | None = None
    resources: ResourcesSpec = ResourcesSpec()
    records: RecordsSpec = RecordsSpec()
    artifacts: ArtifactsSpec = ArtifactsSpec()
    plugins: tuple[str, ...] = Field((), max_length=_MOST_LISTED)

    @model_validator(mode="after")
    def _confirms_what_is_searched(self) -> StudySpec:
        metric = self.confirm.metric if self.confirm is not None else None
        if metric is not None and metric not in self.search.metrics:
            raise unknown_name("searched metric under confirm.metric:", metric, self.search.metrics)
        return self

    @model_validator(mode="after")
    def _race_has_a_baseline(self) -> StudySpec:
        race = self.confirm.race if self.confirm is not None else None
        if race is not None and race.compare == "baseline" and all(m.name != BASELINE for m in self.methods):
            raise ValueError(
                f"`confirm.race.compare` baseline needs the method {BASELINE} in `methods`; "
                "otherwise allowed: best, all"
            )
        return self

    @model_validator(mode="after")
    def _folds_are_not_confirmed(self) -> StudySpec:
        folded = [i for i, data in enumerate(self.data) if data.folds is not None]
        if folded and self.confirm is not None:
            raise ValueError(
                f"`confirm` must be omitted with `data[{folded[0]}].folds`: cross-validation reports on the held-out "
                "folds and reads no test image"
            )
        return self

    @property
    def number_of_cells(self) -> int:
        """The number of cells that the study expands to."""
        sets = sum((data.folds or 1) * sum(len(p.ratio) or 1 for p in data.profiles) for data in self.data)
        return sets * len(self.methods)

    def with_data_dir(
        self, folder: str | Path | None, *, origin: str = "--data-dir", everywhere: bool = False
    ) -> StudySpec:
        """Return the study with absolute data folders: a worker may have another working directory and environment.

        Args:
            folder: data folder of the data sets without `data_dir`; None leaves them to their built-in source.
            origin: option or environment variable that gave the folder, for the error message.
            everywhere: replace every `data_dir` of the file as well.

        Raises:
            BadInput: if ``folder`` is needed and is not a folder, or if a `data_dir` cannot be a folder's name.
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
