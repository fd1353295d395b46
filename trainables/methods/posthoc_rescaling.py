"""Methods that change a trained head by one number, picked on validation: post-hoc changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from trainables.methods import baselines
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method, SharedPrefix
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from trainables.components.network import Outputs


class TauNormParams(Hyperparameters):
    """Params of tau-normalisation.

    Attributes:
        tau: the power of a row's length that the row is divided by; None picks it on validation.
        keep_bias: whether the trained bias stays; the paper leaves it out.
    """

    tau: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    keep_bias: bool = True


class RescalingParams(Hyperparameters):
    """Params of re-scaled weight vectors: `gamma`, the power of n_k / n_max; None picks it on validation."""

    gamma: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)


class PriorParams(Hyperparameters):
    """Params of post-hoc logit adjustment: `tau`, the weight of the log prior; None picks it on validation."""

    tau: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)


def tau_norm(params: TauNormParams, context: MethodContext) -> Plan:
    """Compose tau-normalisation: ERM, its rows then divided by a power of their length."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.posthoc.tau_normalisation import TauNormalisation

    posthoc = TauNormalisation(params.tau, keep_bias=params.keep_bias)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss),), posthoc=posthoc)


def rs_rescaling(params: RescalingParams, context: MethodContext) -> Plan:
    """Compose RS: cross entropy on a linear head without bias, its rows then divided by a power of n_k."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.posthoc.frequency_rescaling import FrequencyRescaling

    posthoc = FrequencyRescaling(params.gamma, context.class_counts)
    return Plan(linear_head(context, bias=False), (Stage("plain", 0.0, plain_loss),), posthoc=posthoc)


def wvn_rs(params: RescalingParams, context: MethodContext) -> Plan:
    """Compose WVN + RS: as RS, with rows scaled to length 1 after every step."""
    from trainables.components.heads.cosine_head import unit_rows
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.posthoc.frequency_rescaling import FrequencyRescaling

    head = linear_head(context, bias=False)

    def normalise(outputs: Outputs, labels: Tensor) -> None:
        head.weight.copy_(unit_rows(head.weight))

    stage = Stage("plain", 0.0, plain_loss, after_step=normalise)
    return Plan(head, (stage,), posthoc=FrequencyRescaling(params.gamma, context.class_counts))


def posthoc_logit_adjustment(params: PriorParams, context: MethodContext) -> Plan:
    """Compose post-hoc logit adjustment: ERM, its logits then less tau times the log prior."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.posthoc.prior_subtraction import PriorSubtraction

    posthoc = PriorSubtraction(params.tau, context.class_counts)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss),), posthoc=posthoc)


TAU_NORM = Method(
    name="tau-norm",
    title="Tau-normalisation",
    paper="Kang et al., 2020, section 4",
    equation="(w_k / ||w_k||^tau) . f + b_k, tau picked on validation",
    params=TauNormParams,
    build=tau_norm,
    presets={"paper": {"keep_bias": False}},
    shared_prefix=SharedPrefix(baselines.ERM),
)
RS_RESCALING = Method(
    name="rs-rescaling",
    title="Re-scaling of weight vectors",
    paper="Kim and Kim, 2020; 'Baseline+RS' in Kim, Hong and Kim, 2021, table 1",
    equation="CE(w.f, y); then w_k / (n_k / n_max)^gamma, gamma picked on validation",
    params=RescalingParams,
    build=rs_rescaling,
)
WVN_RS = Method(
    name="wvn-rs",
    title="Weight vector normalisation with re-scaling",
    paper="Kim and Kim, 2020",
    equation="CE(w.f, y), ||w_k|| = 1 after every step; then w_k / (n_k / n_max)^gamma, gamma picked on validation",
    params=RescalingParams,
    build=wvn_rs,
)
POSTHOC_LOGIT_ADJUSTMENT = Method(
    name="posthoc-logit-adjustment",
    title="Post-hoc logit adjustment",
    paper="Menon et al., 2021, eq 9",
    equation="argmax_k z_k - tau log prior_k, tau picked on validation",
    params=PriorParams,
    build=posthoc_logit_adjustment,
    shared_prefix=SharedPrefix(baselines.ERM),
)
