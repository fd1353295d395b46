"""TrialConfig: the immutable configuration of one training; does not import torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainables.core.errors import unknown_name
from trainables.core.files import content_of

FIRST_DEFAULTS = "defaults-0.1"
"""Preset with the default params of version 0.1, for studies that were stored with them."""


def _takes_bool(annotation: Any) -> bool:
    """Return True if a field accepts booleans; pydantic would otherwise coerce them to the numbers 1 and 0."""
    return annotation in (bool, Any) or any(map(_takes_bool, get_args(annotation)))


class StrictModel(BaseModel):
    """Base class of configurations: immutable, and unknown keys are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for key, value in given.items():
                if key not in cls.model_fields:
                    raise unknown_name("key", str(key), cls.model_fields)
                if isinstance(value, bool) and not _takes_bool(cls.model_fields[key].annotation):
                    raise ValueError(f"`{key}` must not be true or false, got {str(value).lower()}")
        return given


class ProfileConfig(StrictModel):
    """Imbalance profile: number of training images kept per class.

    Attributes:
        kind: ``long_tail`` n_k = int(n_max * ratio^(-k/(K-1))); ``step`` minority classes get
            int(n_max / ratio), the others n_max; ``fraction`` minority classes keep 1/ratio of their own
            images, the others all (affinity paper, section 4.4); ``natural`` keeps all images.
        ratio: imbalance ratio n_max / n_min, at least 1.
        minority: minority classes of ``step`` and ``fraction``: the last half (the field's convention), the first
            half, or the classes with an odd or an even index.
    """

    kind: Literal["long_tail", "step", "fraction", "natural"] = "long_tail"
    ratio: float = Field(100.0, ge=1, allow_inf_nan=False)
    minority: Literal["last", "first", "odd", "even"] = "last"

    @model_validator(mode="before")
    @classmethod
    def _natural_has_no_ratio(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("kind") == "natural":
            if given.get("ratio", 1) != 1:
                raise ValueError(f"`ratio` must be left out with kind natural, got {given['ratio']}")
            return {**given, "ratio": 1}
        return given


class DataConfig(StrictModel):
    """Data set, imbalance profile and validation protocol of a trial.

    Attributes:
        dataset: a name of ``study datasets``, or a folder under ``data_dir`` (docs/data.md).
        data_dir: folder of data sets; None means the environment variable STUDY_DATA_DIR.
        image_size: height and width in pixels to which images are scaled and cropped on decoding; None keeps their
            size, which must then be the same for all.
        protocol: source of the validation images; see docs/protocol.md.
        validation_fraction: share held out of each class, of train (``holdout``) or test (``m2m``), in (0, 1).
        label_noise: share of training labels replaced by another class sampled uniformly, in [0, 1).
        subset_seed: seed of the image subset, independent of the training seed.
        memory_budget_gb: a split with more GB (1e9 bytes) of decoded images is streamed from its memory-mapped file;
            does not affect results.
    """

    dataset: str
    data_dir: str | None = None
    image_size: int | None = Field(None, ge=1, le=4096)
    profile: ProfileConfig = ProfileConfig()
    protocol: Literal["holdout", "published", "m2m", "test-select"] = "holdout"
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    label_noise: float = Field(0.0, ge=0, lt=1)
    subset_seed: int = Field(0, ge=0)
    memory_budget_gb: float = Field(8.0, ge=0, allow_inf_nan=False)


class ModelConfig(StrictModel):
    """Backbone of a trial; the head belongs to the method.

    Attributes:
        name: a name of `trainables.backbones.MODELS`.
        weights: file of an initial state dict, in safetensors or torch format; its content, not its path, enters the
            fingerprint. None initialises the weights from the seed.
    """

    name: str = "resnet32"
    weights: str | None = None

    @field_validator("weights")
    @classmethod
    def _absolute(cls, weights: str | None) -> str | None:
        # a worker has another working directory
        if weights is None:
            return None
        if "\0" in weights:
            raise ValueError("must be a file's name, and holds a NUL byte")
        try:
            return str(Path(weights).expanduser().absolute())
        except RuntimeError as error:  # the home of an unknown user
            raise ValueError(f"must be a file's name: {error}") from None


class ScheduleConfig(StrictModel):
    """Learning rate schedule; milestones and warm-up are fractions of the epoch budget.

    Attributes:
        kind: ``step``, ``cosine`` or ``constant``.
        milestones: increasing fractions in (0, 1) at which a ``step`` schedule multiplies the rate by ``factor``.
        factor: decay factor per milestone, in (0, 1].
        warmup: fraction of the budget over which the rate rises linearly, in [0, 1).
    """

    kind: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[float, ...] = (0.8, 0.9)
    factor: float = Field(0.01, gt=0, le=1)
    warmup: float = Field(0.025, ge=0, lt=1)

    @model_validator(mode="after")
    def _milestones_rise(self) -> ScheduleConfig:
        inside = all(0 < m < 1 for m in self.milestones)
        if not inside or sorted(set(self.milestones)) != list(self.milestones):
            raise ValueError(f"`milestones` must rise within (0, 1), got {list(self.milestones)}")
        return self


class TrainingConfig(StrictModel):
    """Optimizer, epoch budget and precision of one training.

    Attributes:
        epochs: epoch budget, at least 1.
        batch_size: images per step; the last, smaller batch of an epoch is kept.
        lr: peak learning rate of SGD.
        augmentation: ``auto`` means `trainables.data.default_augmentation`.
        precision: ``auto`` uses bfloat16 autocast on devices that multiply bfloat16 natively.
        checkpoint_seconds: minimum time between two checkpoints; 0 writes one every epoch.
    """

    epochs: int = Field(200, ge=1)
    batch_size: int = Field(128, ge=1)
    lr: float = Field(0.1, gt=0, allow_inf_nan=False)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(2e-4, ge=0, allow_inf_nan=False)
    schedule: ScheduleConfig = ScheduleConfig()
    augmentation: Literal["auto", "none", "crop", "crop-flip", "resized-crop-flip"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    checkpoint_seconds: float = Field(30.0, ge=0)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> TrainingConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov` needs `momentum` > 0, got 0")
        return self


class MethodConfig(StrictModel):
    """A method of `trainables.methods.registry.METHODS`, its preset, and the params that override the preset."""

    name: str
    preset: str = "recommended"
    params: dict[str, Any] = Field(default_factory=dict)


class TrialConfig(StrictModel):
    """Everything that determines the results of one training, apart from code and machine."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    method: MethodConfig
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(0, ge=0)

    def fingerprint(self) -> str:
        """Return a hexadecimal sha256 over all fields that determine the results.

        The data folder, the memory budget and the checkpoint interval are excluded, since they may change on a resume.
        A weights file enters by its content.

        Raises:
            BadInput: if the weights file cannot be read.
        """
        unsaid = {
            "data": {"data_dir", "memory_budget_gb"},
            "model": {"weights"},
            "training": {"checkpoint_seconds"},
        }
        said = self.model_dump(mode="json", exclude=unsaid)
        # the digest keeps the field's first name, so that checkpoints of earlier studies stay theirs
        said["method"]["hyperparameters"] = said["method"].pop("params")
        if said["method"]["preset"] == FIRST_DEFAULTS:
            said["method"]["preset"] = "recommended"  # its name when they were written
        if self.model.weights is not None:
            said["weights"] = content_of(Path(self.model.weights))
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
