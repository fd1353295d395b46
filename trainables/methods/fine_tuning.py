"""Parameter-efficient fine-tuning of a pretrained backbone: linear probe, BitFit, LoRA, AdaptFormer, and LIFT."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trainables.core.config import Projections
from trainables.methods.baselines import NoHyperparameters, linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage, StageStart

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.heads import Head
    from trainables.components.network import Outputs
    from trainables.components.tuning import Tuning

HeadStart = Literal["linear", "class-means"]
_CLASS_MEAN_SCALE = 25.0
"""First value of the learned scale of a head that starts from class means: LIFT's fixed one."""


class LoraParams(Hyperparameters):
    """Params of LoRA.

    Attributes:
        rank: r of every summand.
        alpha: the factor of a summand is alpha / r.
        projections: layers with a summand: ``query-value`` of every attention (the paper's), all linear layers of
            ``attention``, of the transformer ``blocks``, or ``all`` linear layers and convolutions of any network.
        head: a ``linear`` head, or a cosine head with a learned scale that starts from ``class-means``.
    """

    rank: int = Field(8, ge=1, le=1024)
    alpha: float = Field(8.0, gt=0, le=10_000)
    projections: Projections = "query-value"
    head: HeadStart = "linear"


class AdaptFormerParams(Hyperparameters):
    """Params of AdaptFormer.

    Attributes:
        width: of the bottleneck.
        adapter_scale: s, fixed factor of an adapter's output.
        normalised: the adapter normalises its input by a LayerNorm of its own (the paper's equation), or takes it as
            it is (the released code).
        dropout: probability with which an entry of the bottleneck is dropped in training.
        head: as in `LoraParams`.
    """

    width: int = Field(64, ge=1, le=4096)
    adapter_scale: float = Field(0.1, gt=0, le=100)
    normalised: bool = True
    dropout: float = Field(0.0, ge=0, lt=1)
    head: HeadStart = "linear"


class LiftParams(Hyperparameters):
    """Params of LIFT.

    Attributes:
        width: of the adapters' bottleneck; None takes 2^floor(log2(K / (2 L))) for K classes and L blocks.
        adapter_scale: first value of s, the learned factor of an adapter's output, one for every block.
        scale: factor of the cosines before the softmax.
        tau: strength of the prior in the loss.
    """

    width: int | None = Field(None, ge=1, le=4096)
    adapter_scale: float = Field(1.0, gt=0, le=100)
    scale: float = Field(25.0, gt=0, le=1000)
    tau: float = Field(1.0, ge=0, le=10)


def linear_probe(params: NoHyperparameters, context: MethodContext) -> Plan:
    """Compose the linear probe: ERM of a linear head on frozen features."""
    from trainables.components.tuning import HeadAlone

    return _cross_entropy("linear", HeadAlone(), context)


def bitfit(params: NoHyperparameters, context: MethodContext) -> Plan:
    """Compose BitFit: ERM of the biases and a linear head."""
    from trainables.components.tuning import Biases

    return _cross_entropy("linear", Biases(), context)


def lora(params: LoraParams, context: MethodContext) -> Plan:
    """Compose LoRA: ERM of summands of low rank and a head."""
    from trainables.components.tuning import LowRank

    return _cross_entropy(params.head, LowRank(params.rank, params.alpha, params.projections), context)


def adaptformer(params: AdaptFormerParams, context: MethodContext) -> Plan:
    """Compose AdaptFormer: ERM of adapters beside the perceptrons and a head."""
    from trainables.components.tuning import ParallelAdapters

    tuning = ParallelAdapters(params.width, params.adapter_scale, normalised=params.normalised, dropout=params.dropout)
    return _cross_entropy(params.head, tuning, context)


def lift(params: LiftParams, context: MethodContext) -> Plan:
    """Compose LIFT: adapters of learned scale, a cosine head from class means, and logit adjustment."""
    from trainables.components.heads import CosineHead
    from trainables.components.losses.vector_scaling import logit_adjusted_loss
    from trainables.components.tuning import ParallelAdapters

    classes = len(context.class_counts)
    head = CosineHead(context.feature_dim, classes)

    def loss(outputs: Outputs, labels: Tensor) -> Tensor:
        logits = params.scale * outputs.logits
        return logit_adjusted_loss(logits, labels, class_counts=context.class_counts, tau=params.tau)

    tuning = ParallelAdapters(params.width, params.adapter_scale, learned_scale=True, classes=classes)
    return Plan(head, (Stage("plain", 0.0, loss, begin=_from_class_means),), tuning=tuning)


def _from_class_means(start: StageStart) -> None:
    from trainables.components.heads import CosineHead
    from trainables.components.heads.class_mean_start import start_from_class_means

    assert isinstance(start.head, CosineHead)
    start_from_class_means(start.head, start.class_means().to(start.head.weight.device))


def _cross_entropy(start: HeadStart, tuning: Tuning, context: MethodContext) -> Plan:
    from trainables.components.heads import ScaledCosineHead
    from trainables.components.losses.cross_entropy import plain_loss

    head: Head = linear_head(context)
    begin: Callable[[StageStart], None] | None = None
    if start == "class-means":
        head = ScaledCosineHead(context.feature_dim, len(context.class_counts), _CLASS_MEAN_SCALE)
        begin = _from_class_means
    return Plan(head, (Stage("plain", 0.0, plain_loss, begin=begin),), tuning=tuning)


def prior_shift(params: LiftParams, ratio: float) -> float:
    """Return the boundary's shift tau log(ratio), in nats."""
    return params.tau * math.log(ratio)


LINEAR_PROBE = Method(
    name="linear-probe",
    title="Linear probe",
    paper="cross entropy on frozen features",
    equation="CE(z, y); the head alone is trained",
    params=NoHyperparameters,
    build=linear_probe,
    tuning="head",
    also_called=("linear-probing", "frozen"),
)
BITFIT = Method(
    name="bitfit",
    title="BitFit",
    paper="Ben Zaken et al., 2022, section 3",
    equation="CE(z, y); biases and head alone are trained",
    params=NoHyperparameters,
    build=bitfit,
    tuning="bias",
    also_called=("bias-tuning",),
)
LORA = Method(
    name="lora",
    title="Low-rank adaptation",
    paper="Hu et al., 2022, section 4.1",
    equation="CE(z, y); W x + (alpha/r) U D x in place of W x, W frozen",
    params=LoraParams,
    build=lora,
    tuning="lora",
    presets={"paper": {}, "blocks": {"projections": "blocks"}},
)
ADAPTFORMER = Method(
    name="adaptformer",
    title="AdaptFormer",
    paper="Chen et al., 2022, section 3.2",
    equation="CE(z, y); x + MLP(LN(x)) + s U relu(D LN(x)) in place of x + MLP(LN(x)), MLP frozen",
    params=AdaptFormerParams,
    build=adaptformer,
    tuning="adapter",
    presets={"paper": {}, "official": {"normalised": False, "dropout": 0.1}},
)
LIFT = Method(
    name="lift",
    title="Lightweight fine-tuning",
    paper="Shi et al., 2024, LIFT",
    equation="CE(s cos(f, w) + tau log prior, y), w_k the class mean at first; adapters, prediction by cos",
    params=LiftParams,
    build=lift,
    tuning="adapter",
    boundary_shift=prior_shift,
    given_in_part="without test-time ensembling over crops, and without the start from text features",
)
