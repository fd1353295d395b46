"""Open long-tailed recognition (Liu et al., 2019): a plain stage, then a memory of class centroids."""

from __future__ import annotations

from pydantic import Field

from trainables.methods import baselines
from trainables.methods.method import Method, SharedPrefix
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage, StageStart


class OltrParams(Hyperparameters):
    """Params of OLTR.

    Attributes:
        scale: of the cosines in the second stage.
        reach: r, the reachability of a feature at distance 1 of its nearest centroid.
        defer_until: fraction of the epochs at which the second stage begins (30 of 90 on ImageNet-LT).
    """

    scale: float = Field(16.0, gt=0, le=1000, allow_inf_nan=False)
    reach: float = Field(10.0, gt=0, le=1000, allow_inf_nan=False)
    defer_until: float = Field(1 / 3, gt=0, lt=1, allow_inf_nan=False)


def oltr(params: OltrParams, context: MethodContext) -> Plan:
    """Compose OLTR: ERM, then meta-embeddings and a cosine classifier, class-balanced, with its own schedule."""
    from trainables.components.heads import MemoryHead
    from trainables.components.losses.cross_entropy import plain_loss

    head = MemoryHead(context.feature_dim, len(context.class_counts), params.scale, params.reach)

    def begin(start: StageStart) -> None:
        head.remember(start.class_means())

    attending = Stage(
        "memory", params.defer_until, plain_loss, sampler="class-balanced", begin=begin, restarts_schedule=True
    )
    plain = Stage("plain", 0.0, plain_loss, trainable_prefixes=("backbone.", "head.weight", "head.bias"))
    return Plan(head, (plain, attending))


OLTR = Method(
    name="oltr",
    title="Open long-tailed recognition",
    paper="Liu et al., 2019, dynamic meta-embedding",
    equation="v = (r / min_k ||x - c_k||) (x + tanh(Fx) sum_k softmax(Hx)_k c_k); CE(s |v|/(1 + |v|) cos(v, w_k), y)",
    params=OltrParams,
    build=oltr,
    defer_field="defer_until",
    shared_prefix=SharedPrefix(baselines.ERM),
    given_in_part="meta-embedding with centroids fixed at the switch; "
    "without the loss that learns them, modulated attention, the backbone's own learning rate and the rejection "
    "of unknown classes",
)
