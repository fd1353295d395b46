"""Methods on cosines beside LDAM and ELM: maximum margins, Gaussian clouds, a learned scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainables.methods.deferral import deferred
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


class MaximumMarginParams(Hyperparameters):
    """Params of the maximum margin loss.

    Attributes:
        variant: ``mm-ldam`` takes m = M - D_y, ``mm`` takes m = M.
        max_margin: M: the larger it is, the smaller are all margins, exp(-M) at most.
        gamma: g, factor of m for correctly classified examples.
        label_margin: LDAM margin of the rarest class; without effect in ``mm``.
        scale: s, factor of the cosines before the softmax.
    """

    variant: Literal["mm-ldam", "mm"] = "mm-ldam"
    max_margin: float = Field(1.29, ge=0, le=10)
    gamma: float = Field(1.528, ge=0, le=20)
    label_margin: float = Field(0.5, gt=0, le=2)
    scale: float = Field(26.0, gt=0, allow_inf_nan=False)


class GaussianCloudedParams(Hyperparameters):
    """Params of Gaussian clouded logits.

    Attributes:
        margin: m, margin that is always subtracted from the target's cosine.
        noise: factor of the noise of the rarest class.
        noise_on: clouds lower the cosine of the target alone, or of every class.
        scale: s, factor of the cosines before the softmax.
    """

    margin: float = Field(0.5, ge=0, le=2)
    noise: float = Field(1.0, ge=0, le=10)
    noise_on: Literal["target", "all"] = "target"
    scale: float = Field(30.0, gt=0, allow_inf_nan=False)


class LearnedScaleParams(Hyperparameters):
    """Params of the cosine head with a learned scale: `initial_scale`, the scale at the beginning."""

    initial_scale: float = Field(10.0, gt=0, le=1000)


def maximum_margin(params: MaximumMarginParams, context: MethodContext) -> Plan:
    """Compose MM or MM-LDAM: cosine head, margins that fall with every example's own gap."""
    import torch

    from trainables.components.heads import CosineHead
    from trainables.components.losses.label_aware_margin import class_margins
    from trainables.components.losses.maximum_margin import maximum_margin_loss

    label_margins = class_margins(context.class_counts, params.label_margin)
    shift = label_margins if params.variant == "mm-ldam" else torch.zeros_like(label_margins)
    limits = (params.max_margin - shift).float()

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        return maximum_margin_loss(outputs.logits, labels, limits=limits, gamma=params.gamma, scale=params.scale)

    head = CosineHead(context.feature_dim, len(context.class_counts))
    return Plan(head, (Stage("plain", 0.0, loss),))


def gaussian_clouded(params: GaussianCloudedParams, context: MethodContext) -> Plan:
    """Compose GCL: cosine head, and in training alone noise in proportion to log(n_max / n)."""
    import torch

    from trainables.components.heads import CosineHead
    from trainables.components.losses.clouded_logits import cloud_noise, cloud_sizes, gaussian_clouded_loss

    head = CosineHead(context.feature_dim, len(context.class_counts))
    sizes = params.noise * cloud_sizes(context.class_counts).float()
    clear, everywhere = torch.zeros_like(sizes).unsqueeze(0), params.noise_on == "all"

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        clouds = sizes * cloud_noise(outputs.logits) if head.training else clear
        return gaussian_clouded_loss(
            outputs.logits, labels, clouds=clouds, margin=params.margin, scale=params.scale, all_classes=everywhere
        )

    return Plan(head, (Stage("plain", 0.0, loss),))


def learned_scale(params: LearnedScaleParams, context: MethodContext) -> Plan:
    """Compose FSLwF's classifier, its non-episodic part alone: cross entropy on cosines with a learned scale."""
    from trainables.components.heads import ScaledCosineHead
    from trainables.components.losses.cross_entropy import plain_loss

    head = ScaledCosineHead(context.feature_dim, len(context.class_counts), params.initial_scale)
    return Plan(head, (Stage("plain", 0.0, plain_loss),))


def maximum_margin_shift(params: MaximumMarginParams, ratio: float) -> float:
    """Return the boundary's shift, in nats, by the margins exp(-m) of examples whose gap is 0."""
    if params.variant == "mm":
        return 0.0
    margins = (params.label_margin, params.label_margin / math.pow(ratio, 0.25))
    rare, frequent = (math.exp(d - params.max_margin) for d in margins)
    return params.scale * (rare - frequent) / 2


MM_LDAM = Method(
    name="mm-ldam",
    title="Maximum margin with LDAM",
    paper="Kang et al., 2021",
    equation="CE(s (z - d onehot_y), y), d = exp(-gap - g m) if gap > 0, else exp(-|gap| - m); m = M - D_y or M",
    params=MaximumMarginParams,
    build=maximum_margin,
    presets={"paper": {}, "mm": {"variant": "mm", "scale": 19.0}},
    boundary_shift=maximum_margin_shift,
)
MM_LDAM_DRW = deferred(
    MM_LDAM,
    name="mm-ldam-drw",
    by="re-weighting",
    paper="Kato and Hotta, 2023, tables 1-3",
)
GCL = Method(
    name="gcl",
    title="Gaussian clouded logits",
    paper="Li et al., 2022",
    equation="CE(s (z - (m + |e| log(n_max/n_y) / log(n_max/n_min)) onehot_y), y), e from N(0, 1/9)",
    params=GaussianCloudedParams,
    build=gaussian_clouded,
    presets={"paper": {}, "official": {"margin": 0.0, "noise": 0.5, "noise_on": "all"}},
    given_in_part="the loss; the classifier is not trained again on effective numbers afterwards",
)
FSLWF = Method(
    name="fslwf",
    title="Few-shot learning without forgetting",
    paper="Gidaris and Komodakis, 2018",
    equation="CE(s cos(f, w), y) with a learned s",
    params=LearnedScaleParams,
    build=learned_scale,
    given_in_part="the non-episodic part: the cosine head with a learned scale, without the weight generator",
)
