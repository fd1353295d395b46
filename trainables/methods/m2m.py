"""Major-to-minor translation (M2m): a deferred stage of re-sampling with translated images (Kim et al., 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from trainables.components.variants import Confidence
from trainables.core.errors import BadInput
from trainables.methods import baselines, ldam
from trainables.methods.deferral import followed_by
from trainables.methods.ldam import LdamParams
from trainables.methods.method import EpochMetric, Method, Presets, SharedPrefix
from trainables.methods.plan import Hyperparameters, MethodContext, Plan

if TYPE_CHECKING:
    from trainables.components.transforms.major_to_minor import TranslationSettings


class TranslationParams(Hyperparameters):
    """Params of M2m.

    Attributes:
        beta: of the acceptance probability 1 - beta^max(n_k0 - n_k, 0), in [0, 1).
        lam: lambda, weight of f's logit of the seed's class (eq 2).
        gamma: threshold of the reference's confidence in the target.
        confidence: ``probability`` accepts p_g(k) >= gamma, as the released code; ``loss`` CE(g, k) <= gamma, as
            algorithm 1.
        steps: T, gradient steps of a translation.
        step_size: eta, L2 length of a step, pixels in [0, 1].
        noise: L2 length of the noise on a seed, pixels in [0, 1].
        clean: use the seeds of accepted translations as they were (M2m-Clean).
        random_label: label what is generated with any class but target and seed's (M2m-RS-Rand).
        pool_size: images per class that may be seeds; None does not limit them.
        defer_until: fraction of the epochs at which the stage begins; 0 leaves out the first (M2m-RS).
    """

    beta: float = Field(0.999, ge=0, lt=1)
    lam: float = Field(0.5, ge=0, allow_inf_nan=False)
    gamma: float = Field(0.9, gt=0, le=100)
    confidence: Confidence = "probability"
    steps: int = Field(10, ge=0, le=1000)
    step_size: float = Field(0.1, gt=0, allow_inf_nan=False)
    noise: float = Field(0.08, ge=0, allow_inf_nan=False)
    clean: bool = False
    random_label: bool = False
    pool_size: int | None = Field(None, ge=1)
    defer_until: float = Field(0.8, ge=0, lt=1)

    def settings(self) -> TranslationSettings:
        """Return what the batch transform is told."""
        from trainables.components.transforms.major_to_minor import TranslationSettings

        return TranslationSettings(**{name: getattr(self, name) for name in TranslationSettings.__annotations__})


class TranslationLdamParams(TranslationParams, LdamParams):
    """Params of M2m on LDAM: of both."""


def _translated(plain: Method, params: TranslationParams, context: MethodContext) -> Plan:
    from trainables.components.transforms.major_to_minor import Translation

    if params.random_label and len(context.class_counts) < 3:
        raise BadInput("`random_label` needs at least 3 classes: there is none beside target and seed's")
    plan, transform = plain.build(params, context), Translation(params.settings())
    return followed_by(
        plan,
        "translated",
        params.defer_until,
        sampler="class-balanced",
        transform=transform,
        epoch_metrics=transform.epoch_metrics,
        end_arrays=transform.end_arrays,
    )


def m2m(params: TranslationParams, context: MethodContext) -> Plan:
    """Compose M2m: ERM, then class-balanced batches with translated images."""
    return _translated(baselines.ERM, params, context)


def m2m_ldam(params: TranslationLdamParams, context: MethodContext) -> Plan:
    """Compose M2m on LDAM: f has its cosine head and loss, the reference stays ERM."""
    return _translated(ldam.LDAM, params, context)


_FEWEST_ACCEPTED = 0.01
"""Share of accepted sites below which M2m is in effect deferred re-sampling.

At most n_max - n_k of n_max examples of a class are sites, so fewer than one or two examples of a batch of 128 are then
translated: the other 99 % train on the class-balanced batch as it was drawn.
"""

_EPOCH_METRICS = {
    "sites": EpochMetric("share of the examples drawn as generation sites"),
    "accepted": EpochMetric(
        "share of the sites whose translation replaced the example",
        notice_below=_FEWEST_ACCEPTED,
        notice=f"in effect deferred re-sampling: under {_FEWEST_ACCEPTED:.0%} of the generation sites were translated",
    ),
    "known": EpochMetric("share of the accepted translations that f classified as their label before training on them"),
}
_PRESETS: Presets = {
    "paper": {"confidence": "loss"},
    "official": {},
    "no-lambda": {"lam": 0.0},
    "clean": {"clean": True},
    "rs": {"defer_until": 0.0},
    "rs-random-label": {"defer_until": 0.0, "random_label": True},
    **{f"pool-{size}": {"pool_size": size} for size in (10, 50, 100, 200, 500)},
}
M2M = Method(
    name="m2m",
    title="Major-to-minor translation",
    paper="Kim et al., 2020, eqs 2-5 and algorithm 1",
    equation="CE on balanced batches in which x* = argmin CE(g(x), k) + lam f_k0(x), "
    "from a seed of class k0, replaces examples",
    params=TranslationParams,
    build=m2m,
    presets=_PRESETS,
    defer_field="defer_until",
    shared_prefix=SharedPrefix(baselines.ERM),
    reference="erm",
    epoch_metrics=_EPOCH_METRICS,
)
M2M_LDAM = Method(
    name="m2m-ldam",
    title="Major-to-minor translation on LDAM",
    paper="Kim et al., 2020, table 1",
    equation="LDAM on the batches of M2m",
    params=TranslationLdamParams,
    build=m2m_ldam,
    presets=_PRESETS,
    defer_field="defer_until",
    shared_prefix=SharedPrefix(ldam.LDAM),
    reference="erm",
    boundary_shift=ldam.LDAM.boundary_shift,
    epoch_metrics=_EPOCH_METRICS,
)
