"""Decoupled training (Kang et al., 2020): a plain first stage, then the classifier alone on class-balanced batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from trainables.methods import baselines
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method, SharedPrefix
from trainables.methods.plan import HEAD, Hyperparameters, MethodContext, Plan, Stage, StageStart

if TYPE_CHECKING:
    import torch

    from trainables.components.heads import LinearHead


class CrtParams(Hyperparameters):
    """Params of classifier re-training: `defer_until`, the fraction of the epochs at which it begins (90 of 100)."""

    defer_until: float = Field(0.9, gt=0, lt=1, allow_inf_nan=False)


class LwsParams(Hyperparameters):
    """Params of learnable weight scaling: `defer_until`, the fraction of the epochs at which it begins (90 of 95)."""

    defer_until: float = Field(0.95, gt=0, lt=1, allow_inf_nan=False)


def redraw(head: LinearHead, generator: torch.Generator) -> None:
    """Give a linear head new initial weights, drawn on the CPU whatever its device."""
    import torch
    from torch import nn

    drawn = torch.empty(head.weight.shape)
    head.weight.copy_(nn.init.kaiming_normal_(drawn, nonlinearity="relu", generator=generator))
    if head.bias is not None:
        head.bias.zero_()


def crt(params: CrtParams, context: MethodContext) -> Plan:
    """Compose cRT: ERM, then a new head on frozen features, class-balanced, with a schedule of its own."""
    from trainables.components.losses.cross_entropy import plain_loss

    head = linear_head(context)

    def begin(start: StageStart) -> None:
        redraw(head, start.generator)

    retrain = Stage(
        "re-trained classifier",
        params.defer_until,
        plain_loss,
        sampler="class-balanced",
        trainable_prefixes=HEAD,
        begin=begin,
        restarts_schedule=True,
    )
    return Plan(head, (Stage("plain", 0.0, plain_loss), retrain))


def lws(params: LwsParams, context: MethodContext) -> Plan:
    """Compose LWS: ERM, then a scale for every class's logit, all else frozen, class-balanced."""
    from trainables.components.heads import ScaledHead
    from trainables.components.losses.cross_entropy import plain_loss

    head = ScaledHead(context.feature_dim, len(context.class_counts))
    plain = Stage("plain", 0.0, plain_loss, trainable_prefixes=("backbone.", "head.weight", "head.bias"))
    scaled = Stage(
        "scaled weights",
        params.defer_until,
        plain_loss,
        sampler="class-balanced",
        trainable_prefixes=("head.scale",),
        restarts_schedule=True,
    )
    return Plan(head, (plain, scaled))


CRT = Method(
    name="crt",
    title="Classifier re-training",
    paper="Kang et al., 2020, section 4",
    equation="CE(z, y); then a new head on frozen features, class-balanced",
    params=CrtParams,
    build=crt,
    defer_field="defer_until",
    shared_prefix=SharedPrefix(baselines.ERM),
)
LWS = Method(
    name="lws",
    title="Learnable weight scaling",
    paper="Kang et al., 2020, section 4",
    equation="CE(z, y); then CE(s z, y), s_k learned alone, class-balanced",
    params=LwsParams,
    build=lws,
    defer_field="defer_until",
    shared_prefix=SharedPrefix(baselines.ERM),
)
