"""Answers to keys that a study file does not have but many people expect."""

from __future__ import annotations

from collections.abc import Mapping

from trainables.core.errors import shown

_NAMES: Mapping[str, tuple[str, ...]] = {
    "training.lr": ("learning-rate", "lr", "base-lr", "initial-lr", "max-lr"),
    "training.epochs": ("epochs", "epoch", "n-epochs", "num-epochs", "max-epochs"),
    "training.batch_size": ("batch-size", "batchsize", "batch", "bs"),
    "training.weight_decay": ("weight-decay", "wd", "l2"),
    "training.momentum": ("momentum",),
    "training.optimizer": ("optimizer", "optim", "optimiser"),
    "training.layer_decay": ("layer-decay", "layerwise-lr-decay", "layer-wise-lr-decay", "llrd", "lr-decay-rate"),
    "training.clip_norm": (
        "clip-norm",
        "clip-grad",
        "grad-clip",
        "gradient-clip",
        "gradient-clipping",
        "max-grad-norm",
    ),
    "training.ema": ("ema", "ema-decay", "model-ema", "model-ema-decay"),
    "training.auto_augment": ("auto-augment", "autoaugment", "randaugment", "rand-augment", "trivialaugment"),
    "training.cutout": ("cutout", "random-erasing", "erasing"),
    "training.schedule": ("schedule", "scheduler", "lr-schedule", "lr-scheduler"),
    "training.schedule.warmup": ("warmup", "warmup-epochs", "warmup-ratio"),
    "training.schedule.milestones": ("milestones",),
    "training.augmentation": ("augmentation", "augment", "augmentations", "transforms"),
    "training.precision": ("precision", "amp", "fp16", "bf16", "mixed-precision"),
    "data[].dataset": ("dataset", "datasets"),
    "data[].profiles[].ratio": ("ratio", "ratios", "imbalance-ratio", "imbalance-factor", "imbalance"),
    "data[].validation_fraction": ("validation-fraction", "val-fraction", "validation-split", "val-split"),
    "data[].protocol": ("protocol",),
    "methods": ("method", "loss", "losses", "criterion"),
    "model": ("network", "backbone", "arch", "architecture", "models"),
    "search.trials": ("trials", "n-trials", "num-trials"),
    "search.metric": ("metric", "metrics", "objective"),
    "search.searcher": ("searcher", "sampler", "algorithm"),
    "search.pruner": ("pruner", "pruning", "early-stopping"),
    "search.concurrency": ("concurrency", "n-jobs", "parallel"),
    "confirm.seeds": ("seeds", "n-seeds", "num-seeds"),
    "resources.gpus": ("gpus", "gpu", "num-gpus"),
    "resources.cpus": ("cpus", "cpu", "num-cpus"),
    "records.tracking_uri": ("tracking-uri", "mlflow"),
}
"""Place in a study file -> other names by which people look for it."""

_PLACES = {name: place for place, names in _NAMES.items() for name in names}


def answer(path: str, key: str) -> str | None:
    """Return what to say of an unknown key, or None if nothing is known about it.

    Args:
        path: the mapping that holds the key; empty for the study file itself.
        key: the unknown key.

    >>> answer("training", "learning_rate")
    'training.learning_rate does not exist; it is called training.lr'
    >>> answer("", "optimizer")
    'optimizer does not exist; it is called training.optimizer'
    """
    plain = key.lower().replace("_", "-")
    full = f"{path}.{shown(key)}" if path else shown(key)
    place = _PLACES.get(plain)
    if place is None or place == full:
        return None
    return f"{full} does not exist; it is called {place}"
