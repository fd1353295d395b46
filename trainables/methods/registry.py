"""The one table of methods: name -> its entry. Each entry stands in the file of its family."""

from __future__ import annotations

import annotated_types
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from trainables.components.lr_schedule import stage_start
from trainables.core.config import MethodConfig, TrialConfig
from trainables.core.derived_seeds import derive_seed
from trainables.core.errors import BadInput, unknown_name
from trainables.methods import (
    affinity,
    baselines,
    complement_training,
    cosine_margin,
    cost_sensitive,
    decoupled,
    influence,
    ldam,
    logit_adjustment,
    loss_shaping,
    m2m,
    metric_learning,
    mixup,
    offset,
    oltr,
    posthoc_rescaling,
    reweighting,
    sam,
    smote,
    weight_balancing,
)
from trainables.methods.deferral import deferred
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan

METHODS: dict[str, Method] = {
    "erm": baselines.ERM,
    "rs": baselines.RS,
    "rw": reweighting.RW,
    "cb-rw": reweighting.CB_RW,
    "drw": reweighting.DRW,
    "drs": reweighting.DRS,
    "smote": smote.SMOTE,
    "focal": loss_shaping.FOCAL,
    "cce": loss_shaping.CCE,
    "lmsce": logit_adjustment.LMSCE,
    "cot": complement_training.COT,
    "cosen": cost_sensitive.COSEN,
    "equalization-v2": influence.EQUALIZATION_V2,
    "ib": influence.IB,
    "ib-focal": influence.IB_FOCAL,
    "balanced-softmax": loss_shaping.BALANCED_SOFTMAX,
    "logit-adjustment": logit_adjustment.LOGIT_ADJUSTMENT,
    "vs": logit_adjustment.VS,
    "las": logit_adjustment.LAS,
    "ldam": ldam.LDAM,
    "ldam-drw": ldam.LDAM_DRW,
    "ldam-drs": ldam.LDAM_DRS,
    "elm": ldam.ELM,
    "elm-drw": ldam.ELM_DRW,
    "mm-ldam": cosine_margin.MM_LDAM,
    "mm-ldam-drw": deferred(cosine_margin.MM_LDAM, by="re-weighting", paper="Kato and Hotta, 2023, tables 1-3"),
    "gcl": cosine_margin.GCL,
    "fslwf": cosine_margin.FSLWF,
    "offset": offset.OFFSET,
    "empirical-offset": offset.EMPIRICAL_OFFSET,
    "center": metric_learning.CENTER,
    "range": metric_learning.RANGE,
    "lifted": metric_learning.LIFTED,
    "affinity": affinity.AFFINITY,
    "m2m": m2m.M2M,
    "m2m-ldam": m2m.M2M_LDAM,
    "mixup": mixup.MIXUP,
    "mixup-drw": mixup.MIXUP_DRW,
    "remix": mixup.REMIX,
    "crt": decoupled.CRT,
    "lws": decoupled.LWS,
    "tau-norm": posthoc_rescaling.TAU_NORM,
    "rs-rescaling": posthoc_rescaling.RS_RESCALING,
    "wvn-rs": posthoc_rescaling.WVN_RS,
    "posthoc-logit-adjustment": posthoc_rescaling.POSTHOC_LOGIT_ADJUSTMENT,
    "oltr": oltr.OLTR,
    "weight-balancing": weight_balancing.WEIGHT_BALANCING,
    "sam": sam.SAM,
    "sam-drw": sam.SAM_DRW,
}


_ALSO_CALLED = {
    **dict.fromkeys(("ce", "cross-entropy", "softmax", "baseline", "vanilla", "none"), "erm"),
    **dict.fromkeys(("oversampling", "over-sampling", "ros", "class-balanced-sampling"), "rs"),
    **dict.fromkeys(("cb", "class-balanced", "cb-loss"), "cb-rw"),
    **dict.fromkeys(("la", "logit-adjusted", "logit-adjusted-loss"), "logit-adjustment"),
    **dict.fromkeys(("eql", "eqlv2", "equalization"), "equalization-v2"),
    "bsce": "balanced-softmax",
    "vs-loss": "vs",
}
"""Names of methods in other programs -> their names here."""


def method_named(name: str) -> Method:
    """Return a method of the table.

    Raises:
        BadInput: no such method; the nearest name is given.
    """
    if name not in METHODS:
        raise unknown_name("method", name, METHODS, _ALSO_CALLED)
    return METHODS[name]


def build_params(config: MethodConfig) -> Hyperparameters:
    """Build the typed params of a method: its preset, then what the configuration sets itself.

    Raises:
        BadInput: unknown method, preset or value, or a value out of its range.

    >>> build_params(MethodConfig(name="cce")).gamma
    -1.0
    """
    method = method_named(config.name)
    if config.preset not in method.preset_names():
        raise unknown_name(f"preset of {config.name}", config.preset, method.preset_names())
    merged = {**method.presets.get(config.preset, {}), **config.params}
    try:
        return method.params(**merged)
    except ValidationError as error:
        raise BadInput(f"{config.name}: {describe(error, method.params)}") from None


def softmax_scale(config: MethodConfig) -> float:
    """Return the factor of a head's logits before the softmax of its loss: `scale` of losses on cosines, else 1.

    >>> softmax_scale(MethodConfig(name="ldam", params={"scale": 20})), softmax_scale(MethodConfig(name="erm"))
    (20.0, 1.0)
    """
    return float(getattr(build_params(config), "scale", 1.0))


def describe(error: ValidationError, params: type[Hyperparameters] | None = None) -> str:
    """Say in one line what pydantic found: field, what was wanted, what was given, and the range it lies in."""
    parts = []
    for item in error.errors():
        place = ".".join(str(step) for step in item["loc"])
        said = item["msg"].removeprefix("Value error, ")
        allowed = _range_of(params.model_fields.get(place)) if params is not None else ""
        parts.append(f"`{place}` {said}, got {item['input']!r}{allowed}" if place else said)
    return "; ".join(parts).replace("Input should be", "must be")


def _range_of(field: FieldInfo | None) -> str:
    """Return the range of a number with two ends, for a message that names the broken end alone."""
    ends: dict[str, str] = {}
    for limit in field.metadata if field is not None else ():
        match limit:
            case annotated_types.Gt(gt=bound):
                ends["low"] = f"({bound}"
            case annotated_types.Ge(ge=bound):
                ends["low"] = f"[{bound}"
            case annotated_types.Lt(lt=bound):
                ends["high"] = f"{bound})"
            case annotated_types.Le(le=bound):
                ends["high"] = f"{bound}]"
    return f" (allowed: {ends['low']}, {ends['high']})" if len(ends) == 2 else ""


def last_stage_start(config: MethodConfig) -> float:
    """Return the fraction of the epochs at which a method's last stage begins; 0 for a single stage."""
    method = method_named(config.name)
    return float(getattr(build_params(config), method.defer_field)) if method.defer_field else 0.0


def changes_stage(config: TrialConfig) -> bool:
    """Return True if a trial's method changes its stage at some epoch; post-hoc methods and plain ones do not."""
    return method_named(config.method.name).defer_field is not None


def selectable_after(config: TrialConfig) -> int:
    """Return the number of epochs before a trial's last stage; its best epoch is selected among the later ones."""
    return stage_start(last_stage_start(config.method), config.training.epochs)


def prefix_of(config: MethodConfig) -> MethodConfig | None:
    """Return the plain method that a method's first stages repeat, with the params it takes, or None."""
    method = method_named(config.name)
    if method.shared_prefix is None:
        return None
    plain = method.shared_prefix.method or method
    name = next(name for name, entry in METHODS.items() if entry is plain)
    params = method.shared_prefix.params
    if params is None:
        params = build_params(config).model_dump(include=set(plain.params.model_fields))
    return MethodConfig(name=name, params=dict(params))


def shared_prefix_of(config: TrialConfig) -> tuple[TrialConfig, int] | None:
    """Return the training that a trial's first stages repeat and its number of epochs, or None."""
    method, epochs = method_named(config.method.name), config.training.epochs
    if method.shared_prefix is None:
        return None
    switch = stage_start(last_stage_start(config.method), epochs)
    if method.defer_field is None:  # it changes the trained head alone: only its last epoch is its own
        switch = epochs - 1
    shared_prefix = config.model_copy(update={"method": prefix_of(config.method)})
    return (shared_prefix, switch) if switch > 0 else None  # a preset may begin with the last stage


def reference_of(config: TrialConfig, seed: int | None = None) -> TrialConfig | None:
    """Return the whole training whose network a trial needs beside its own, or None.

    Args:
        config: of the trial.
        seed: of the reference, for its weights, order and augmentation; None derives one from the trial's seed, so
            that the reference is independent of the trial's network and all trials of one seed share it.
    """
    name = method_named(config.method.name).reference
    if name is None:
        return None
    own = derive_seed(config.seed, 0, "reference") if seed is None else seed
    return config.model_copy(update={"method": MethodConfig(name=name), "seed": own})


def build_plan(config: MethodConfig, context: MethodContext) -> Plan:
    """Compose a method for a problem; the head's weights come from torch's global generator."""
    return method_named(config.name).build(build_params(config), context)
