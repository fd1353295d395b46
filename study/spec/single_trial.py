"""The configuration of one training outside a study, from plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from study.spec.validation import error_lines
from trainables.core.config import TrialConfig
from trainables.core.errors import BadInput
from trainables.core.paths import data_folder_named


def single_trial(
    method: str,
    *,
    preset: str = "recommended",
    params: Mapping[str, Any] | None = None,
    dataset: str = "digits",
    data_dir: str | Path | None = None,
    image_size: int | None = None,
    kind: str = "long_tail",
    ratio: float = 100.0,
    minority: str = "last",
    protocol: str = "holdout",
    label_noise: float = 0.0,
    test_fraction: float = 0.2,
    test_seed: int = 0,
    model: str = "resnet32",
    weights: str | None = None,
    options: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = print,
    seed: int = 0,
    schedule: str | Mapping[str, Any] = "step",
    **training: Any,
) -> TrialConfig:
    """Build and check the configuration of one training.

    Args:
        method: a name of ``study methods``.
        preset: of the method.
        params: hyperparameters that override the preset.
        dataset: a name of ``study datasets``.
        data_dir: folder of data sets; None is the environment variable STUDY_DATA_DIR.
        image_size: scale and crop images to this size in pixels.
        kind: ``long_tail``, ``step``, ``fraction`` or ``natural``; the last has no ``ratio``.
        ratio: imbalance ratio, at least 1.
        minority: ``last``, ``first``, ``odd`` or ``even`` classes.
        protocol: ``holdout``, ``published``, ``m2m`` or ``test-select``.
        label_noise: share of wrong training labels.
        test_fraction: share of each class drawn as test images, if the data set has no test split.
        test_seed: seed of that draw.
        model: a network.
        weights: file of pretrained weights; ``timm`` for timm's own of a network of timm.
        options: of a network of timm.
        say: is told of a download of weights before it starts.
        seed: of weights, order and augmentation.
        schedule: ``step``, ``cosine`` or ``constant``, or a mapping as in a study file.
        training: further settings below ``training`` of a study file, such as ``epochs`` and ``lr``.

    Raises:
        BadInput: an unknown name or a value that is not allowed.
    """
    from trainables.backbones import architecture_of
    from trainables.backbones.timm_lookup import with_found_weights
    from trainables.components.optimizers import check_optimizer_settings
    from trainables.methods.registry import build_params

    given = {
        "data": {
            "dataset": dataset,
            "data_dir": None if data_dir is None else str(data_folder_named(Path(data_dir), "data_dir")),
            "image_size": image_size,
            "profile": {"kind": kind, "minority": minority} | ({} if kind == "natural" else {"ratio": ratio}),
            "protocol": protocol,
            "label_noise": label_noise,
            "test_fraction": test_fraction,
            "test_seed": test_seed,
        },
        "model": {"name": model, "weights": weights, "options": dict(options or {})},
        "method": {"name": method, "preset": preset, "params": dict(params or {})},
        "training": {**training, "schedule": {"kind": schedule} if isinstance(schedule, str) else dict(schedule)},
        "seed": seed,
    }
    try:
        config = TrialConfig.model_validate(given)
    except ValidationError as error:
        raise BadInput("\n".join(error_lines(error))) from None
    build_params(config.method)
    check_optimizer_settings(config.training)
    architecture_of(config.model.name, config.model.options)
    return config.model_copy(update={"model": with_found_weights(config.model, say)})
