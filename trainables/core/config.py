"""TrialConfig: the immutable configuration of one training; does not import torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainables.core.errors import UnknownKeys, shown, unknown_name
from trainables.core.files import content_of
from trainables.core.plugin_table import code_of

FIRST_DEFAULTS = "defaults-0.1"
"""Preset with the default params of version 0.1, for studies that were stored with them."""


_MOST_EXPLAINED = 20
"""Unknown keys of a mapping for which the nearest name is looked up."""


def _takes_bool(annotation: Any) -> bool:
    """Return True if a field accepts booleans; pydantic would otherwise coerce them to the numbers 1 and 0."""
    return annotation in (bool, Any) or any(map(_takes_bool, get_args(annotation)))


class StrictModel(BaseModel):
    """Base class of configurations: immutable, unknown keys are rejected, and errors do not show what was given.

    What was given may be a password in the wrong place; `study.spec.validation.error_lines` shows the other values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, dict):
            unknown = [str(key) for key in given if key not in cls.model_fields]
            if unknown:
                said = {key: str(unknown_name("key", key, cls.model_fields)) for key in unknown[:_MOST_EXPLAINED]}
                raise UnknownKeys({key: said.get(key, f"unknown key '{shown(key)}'") for key in unknown})
            for key, value in given.items():
                annotation = cls.model_fields[key].annotation
                if isinstance(value, bool) and not _takes_bool(annotation):
                    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
                    allowed = f"; allowed: {', '.join(map(str, choices))}" if choices else ""
                    raise ValueError(f"`{key}` must not be true or false, got {str(value).lower()}{allowed}")
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
        test_fraction: share of each class drawn as test images from a data set without a test split, in (0, 1); other
            data sets refuse any value but the default.
        test_seed: seed of that draw alone.
        folds: number of stratified folds of the training images under ``holdout``, at least 2; None means one holdout.
        fold: fold held out for validation, in [0, folds); given exactly if ``folds`` is.
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
    test_fraction: float = Field(0.2, gt=0, lt=1, allow_inf_nan=False)
    test_seed: int = Field(0, ge=0)
    folds: int | None = Field(None, ge=2)
    fold: int | None = Field(None, ge=0)
    memory_budget_gb: float = Field(8.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _fold_of_folds(self) -> DataConfig:
        if (self.folds is None) != (self.fold is None):
            raise ValueError("`folds` and `fold` must be given together")
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"`fold` must be in 0..{self.folds - 1}, got {self.fold}")
        if self.folds is not None:
            check_folds(self.protocol, self.validation_fraction)
        return self


def check_folds(protocol: str, validation_fraction: float) -> None:
    """Check that a data set with ``folds`` does not ask for another validation split.

    Raises:
        ValueError: if the protocol is not ``holdout`` or ``validation_fraction`` is set.
    """
    if protocol != "holdout":
        raise ValueError(f"`folds` needs protocol holdout, got {protocol}")
    if validation_fraction != DataConfig.model_fields["validation_fraction"].default:
        raise ValueError(f"`validation_fraction` must be omitted with `folds`, got {validation_fraction:g}")


TIMM = "timm"
"""Prefix of the names of timm's networks, before a slash; as ``weights``, timm's own weights of the network."""

Option = bool | int | float | str
"""A plain value of an option of a network."""

Projections = Literal["query-value", "attention", "blocks", "all"]
"""Layers that LoRA adapts (`trainables.components.tuning.low_rank`)."""
TunedScope = Literal["head", "bias", "lora", "adapter"]
"""What is trained of a network instead of all of it."""
_ONLY_WITH = {"rank": "lora", "alpha": "lora", "projections": "lora", "width": "adapter", "adapter_scale": "adapter"}


class TuningConfig(StrictModel):
    """What is trained of a network beside its head, for every method of a study alike.

    Attributes:
        scope: ``head`` nothing, ``bias`` its biases, ``lora`` a summand of low rank of chosen layers, ``adapter`` a
            bottleneck beside the perceptron of every transformer block.
        rank: of LoRA's summands.
        alpha: their factor is alpha / rank.
        projections: layers with such a summand.
        width: of the adapters' bottleneck.
        adapter_scale: factor of the adapters' outputs.
    """

    scope: TunedScope
    rank: int = Field(8, ge=1, le=1024)
    alpha: float = Field(8.0, gt=0, le=10_000)
    projections: Projections = "query-value"
    width: int = Field(64, ge=1, le=4096)
    adapter_scale: float = Field(0.1, gt=0, le=100)

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> TuningConfig:
        for name, scope in _ONLY_WITH.items():
            # what is stored names every field
            if scope != self.scope and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"`{name}` needs scope {scope}, got scope {self.scope}")
        return self


class ModelConfig(StrictModel):
    """Backbone of a trial; the head belongs to the method.

    Attributes:
        name: a name of `trainables.backbones.BACKBONES`; ``timm/NAME`` is a network of timm.
        weights: file of an initial state dict, in safetensors or torch format; its content, not its path, enters the
            fingerprint. None initialises the weights from the seed; `TIMM` stands for timm's own weights of the network
            until their file is found.
        options: keyword arguments of a network of timm, such as ``patch_size``: plain values, or lists of them.
        tuned: what is trained of it; in a file also the scope alone. None, or ``all``, trains everything that the
            method trains.
    """

    name: str = "resnet32"
    weights: str | None = None
    options: dict[str, Option | list[Option]] = Field(default_factory=dict)
    tuned: TuningConfig | None = None

    @field_validator("tuned", mode="before")
    @classmethod
    def _scope_alone(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        if given not in ("all", *get_args(TunedScope)):
            raise ValueError(str(unknown_name("scope", given, ("all", *get_args(TunedScope)))))
        return None if given == "all" else {"scope": given}

    @property
    def of_timm(self) -> bool:
        """Return True for a network of timm, by its name."""
        return self.name.startswith(f"{TIMM}/")

    @field_validator("weights")
    @classmethod
    def _absolute(cls, weights: str | None) -> str | None:
        # a worker has another working directory
        if weights is None or weights == TIMM:
            return weights
        if "\0" in weights:
            raise ValueError("must be a file's name, and holds a NUL byte")
        try:
            return str(Path(weights).expanduser().absolute())
        except RuntimeError as error:  # the home of an unknown user
            raise ValueError(f"must be a file's name: {error}") from None


class ScheduleConfig(StrictModel):
    """Learning rate schedule; the warm-up is a fraction of the epoch budget, milestones are fractions or epochs.

    Attributes:
        kind: ``step``, ``cosine`` or ``constant``.
        milestones: where a ``step`` schedule multiplies the rate by ``factor``: increasing fractions in (0, 1) of the
            budget, or increasing integers from 2, numbers of finished epochs.
        factor: decay factor per milestone, in (0, 1].
        warmup: fraction of the budget over which the rate rises linearly, in [0, 1).
    """

    kind: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[int | float, ...] = (0.8, 0.9)
    factor: float = Field(0.01, gt=0, le=1)
    warmup: float = Field(0.025, ge=0, lt=1)

    @model_validator(mode="after")
    def _milestones_rise(self) -> ScheduleConfig:
        given = list(self.milestones)
        rise = sorted(set(given)) == given
        whole = [isinstance(m, int) for m in given]
        if any(whole) and not all(whole):
            raise ValueError(f"`milestones` must be all fractions in (0, 1) or all whole epochs, got {given}")
        if any(whole) and not (rise and given[0] >= 2):
            why = ": 1 is ambiguous" if 1 in given else ""
            raise ValueError(f"`milestones` as whole epochs must rise from 2, got {given}{why}")
        if not any(whole) and not (rise and all(0 < m < 1 for m in given)):
            raise ValueError(
                f"`milestones` must rise within (0, 1), got {given}; whole epochs are integers from 2, such as 50"
            )
        return self


class TrainingConfig(StrictModel):
    """Optimizer, epoch budget and precision of one training.

    Attributes:
        epochs: epoch budget, at least 1.
        batch_size: images per step; the last, smaller batch of an epoch is kept.
        lr: peak learning rate of the optimizer.
        momentum: of ``sgd``.
        nesterov: Nesterov momentum, of ``sgd``.
        weight_decay: added to the gradient by ``sgd``, apart from the gradient by ``adamw``.
        optimizer: ``sgd``, ``adamw``, or one of a plug-in.
        betas: decay of the first and second moments of ``adamw``, each in [0, 1).
        layer_decay: layer i of the backbone's L layers has the learning rate lr * layer_decay^(L - i), the head lr; in
            (0, 1]. 1 gives all the same rate.
        clip_norm: largest Euclidean norm of all gradients together, > 0; longer ones are scaled. None leaves them.
        ema: decay in (0, 1) of a moving average of the weights over the steps, which is evaluated, selected and
            exported in place of the weights. None keeps no average.
        augmentation: ``auto`` means `trainables.data.default_augmentation`.
        brightness: b, training pixels are multiplied by a factor uniform in [1 - b, 1 + b], in [0, 1].
        contrast: c, the contrast of a training image is changed by a factor uniform in [1 - c, 1 + c], in [0, 1].
        saturation: likewise, of colour images.
        auto_augment: operations on training images after crop, flip and jitter: ``rand`` is RandAugment, ``trivial`` is
            TrivialAugment (wide); None applies none.
        rand_ops: operations of ``rand`` per image.
        rand_magnitude: their strength, in 0..30.
        cutout: side in pixels of a square of the training images that shows the mean colour; 0 hides nothing.
        crop_size: height and width in pixels of the images that the network gets: random crops in training with
            ``crop`` and ``crop-flip``, centre crops otherwise; None means the whole image.
        crop_padding: zero pixels around an image that random crops may reach into; None means 4 without ``crop_size``,
            else 0.
        test_crop_size: height and width in pixels of the centre crops that are evaluated; None means ``crop_size``.
        input_scaling: ``standard`` subtracts the mean and divides by the deviation of the training images, per channel;
            ``pretrained`` does so with those of the images that timm's weights were trained on; ``symmetric`` scales
            pixels to [-1, 1]; ``auto`` is ``pretrained`` for networks of timm that begin from weights, else
            ``standard``.
        precision: ``float32``; ``bfloat16``, by autocast; ``native``, bfloat16 where the device multiplies it natively,
            else float32; ``auto``, which is ``native`` on a GPU and float32 on a processor.
        checkpoint_seconds: minimum time between two checkpoints; 0 writes one every epoch.
    """

    epochs: int = Field(200, ge=1)
    batch_size: int = Field(128, ge=1)
    lr: float = Field(0.1, gt=0, allow_inf_nan=False)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(2e-4, ge=0, allow_inf_nan=False)
    schedule: ScheduleConfig = ScheduleConfig()
    augmentation: Literal["auto", "none", "flip", "crop", "crop-flip", "resized-crop-flip"] = "auto"
    brightness: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.0, ge=0, le=1)
    saturation: float = Field(0.0, ge=0, le=1)
    auto_augment: Literal["rand", "trivial"] | None = None
    rand_ops: int = Field(2, ge=1, le=14)
    rand_magnitude: int = Field(9, ge=0, le=30)
    cutout: int = Field(0, ge=0, le=4096)
    crop_size: int | None = Field(None, ge=1, le=4096)
    crop_padding: int | None = Field(None, ge=0, le=4096)
    test_crop_size: int | None = Field(None, ge=1, le=4096)
    input_scaling: Literal["auto", "standard", "symmetric", "pretrained"] = "auto"
    optimizer: str = Field("sgd", min_length=1, max_length=64)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    layer_decay: float = Field(1.0, gt=0, le=1)
    clip_norm: float | None = Field(None, gt=0, allow_inf_nan=False)
    ema: float | None = Field(None, gt=0, lt=1)
    precision: Literal["auto", "float32", "bfloat16", "native"] = "auto"
    channels_last: bool = True
    compile: bool = False
    checkpoint_seconds: float = Field(30.0, ge=0)

    @model_validator(mode="after")
    def _milestones_within_the_budget(self) -> TrainingConfig:
        late = [m for m in self.schedule.milestones if isinstance(m, int) and m >= self.epochs]
        if late:
            raise ValueError(
                f"`schedule.milestones` must be below `epochs` ({self.epochs}), got {late[0]}; "
                f"fractions follow the budget"
            )
        return self

    @model_validator(mode="after")
    def _strength_of_rand_augment(self) -> TrainingConfig:
        for name in ("rand_ops", "rand_magnitude"):
            if self.auto_augment != "rand" and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"`{name}` needs `auto_augment: rand`, got {getattr(self, name)} with "
                    f"{self.auto_augment or 'no auto_augment'}"
                )
        return self

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> TrainingConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov` needs `momentum` > 0, got 0")
        return self


_PLAIN = TrainingConfig()


class MethodConfig(StrictModel):
    """A method of `trainables.methods.registry.METHODS`, its preset, and the params that override the preset."""

    name: str
    preset: str = "recommended"
    params: dict[str, Any] = Field(default_factory=dict)


_ADDED_FIELDS = {
    "data": ("folds", "fold", "test_fraction", "test_seed"),
    "model": ("options", "tuned"),
    "training": (
        *("brightness", "crop_size", "crop_padding", "test_crop_size", "input_scaling"),
        *("contrast", "saturation", "auto_augment", "rand_ops", "rand_magnitude", "cutout"),
        *("optimizer", "betas", "layer_decay", "clip_norm", "ema"),
    ),
}
"""Fields that `TrialConfig.fingerprint` leaves out while they have their default."""


def input_scaling(model: ModelConfig, training: TrainingConfig) -> str:
    """Return how images are normalised, ``auto`` resolved: ``standard``, ``symmetric`` or ``pretrained``."""
    if training.input_scaling != "auto":
        return training.input_scaling
    return "pretrained" if model.of_timm and model.weights is not None else "standard"


class TrialConfig(StrictModel):
    """Everything that determines the results of one training, apart from code and machine."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    method: MethodConfig
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(0, ge=0)

    def fingerprint(self) -> str:
        """Return a hexadecimal sha256 over all fields that determine the results.

        The name of a preset enters, not its values. Two pairs of names share a digest although their values may
        differ, so that checkpoints of earlier studies stay theirs: the presets `recommended` and `defaults-0.1`, and
        the precisions ``auto`` and ``native``. A checkpoint therefore holds the values, too, and one with other values
        is refused (`trainables.training.resolved_values`). A shared training is never configured by `defaults-0.1`,
        and its identity adds the precision used.
        The data folder, the memory budget and the checkpoint interval are excluded, since they may change on a resume.
        A weights file enters by its content, and a plug-in that has the method, network, data set or optimizer by its
        source, as it is loaded in this process.

        Raises:
            BadInput: if the weights file cannot be read.
        """
        unsaid = {
            "data": {"data_dir", "memory_budget_gb"},
            "model": {"weights"},
            "training": {"checkpoint_seconds"},
        }
        said = self.model_dump(mode="json", exclude=unsaid)
        if said["training"]["input_scaling"] == input_scaling(self.model, _PLAIN):
            said["training"]["input_scaling"] = "auto"  # what it is named has no effect
        # a field added later enters only if it is used, so that checkpoints of earlier studies stay theirs
        for part, names in _ADDED_FIELDS.items():
            fields = type(getattr(self, part)).model_fields
            for name in names:
                default = fields[name].get_default(call_default_factory=True)
                if said[part][name] == (list(default) if isinstance(default, tuple) else default):
                    del said[part][name]
        # the digest keeps the field's first name, so that checkpoints of earlier studies stay theirs
        said["method"]["hyperparameters"] = said["method"].pop("params")
        if said["training"]["precision"] == "native":
            said["training"]["precision"] = "auto"  # the name that `native` had in checkpoints of earlier studies
        if said["method"]["preset"] == FIRST_DEFAULTS:
            said["method"]["preset"] = "recommended"  # its name when they were written
        if self.model.weights is not None:
            said["weights"] = content_of(Path(self.model.weights))
        named = {
            "methods": self.method.name,
            "backbones": self.model.name,
            "datasets": self.data.dataset,
            "optimizers": self.training.optimizer,
        }
        code = {group: digest for group, name in named.items() if (digest := code_of(group, name)) is not None}
        if code:
            said["plugins"] = code
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
