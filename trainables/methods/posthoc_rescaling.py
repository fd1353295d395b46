"""Methods that change a trained head by one number, picked on validation: post-hoc changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from trainables.methods.baselines import ERM, linear_head
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


class WvnParams(Hyperparameters):
    """Params of weight vector normalisation: `gamma`, the power of n_k / n_max; None picks it on validation."""

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


def wvn_rs(params: WvnParams, context: MethodContext) -> Plan:
    """Compose WVN + RS: rows kept at length one on class-balanced batches, then divided by a power of n_k."""
    from trainables.components.heads.cosine_head import unit_rows
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.posthoc.frequency_rescaling import FrequencyRescaling

    head = linear_head(context)

    def normalise(outputs: Outputs, labels: Tensor) -> None:
        head.weight.copy_(unit_rows(head.weight))

    stage = Stage("plain", 0.0, plain_loss, sampler="class-balanced", after_step=normalise)
    return Plan(head, (stage,), posthoc=FrequencyRescaling(params.gamma, context.class_counts))


def posthoc_logit_adjustment(params: PriorParams, context: MethodContext) -> Plan:
    """Compose post-hoc logit adjustment: ERM, its logits then less tau times the log prior."""
    from trainables.components.losses.cross_entropy import plain_loss
    from trainables.components.posthoc.prior_subtraction import PriorSubtraction

    posthoc = PriorSubtraction(params.tau, context.class_counts)
    return Plan(linear_head(context), (Stage("plain", 0.0, plain_loss),), posthoc=posthoc)


TAU_NORM = Method(
    "Tau-normalisation",
    "Kang et al., 2020, section 4",
    "(w_k / ||w_k||^tau) . f + b_k, tau picked on validation",
    TauNormParams,
    tau_norm,
    ("post-hoc",),
    {"paper": {"keep_bias": False}},
    shared_prefix=SharedPrefix(ERM),
)
WVN_RS = Method(
    "Weight vector normalisation with re-sampling",
    "Kim and Kim, 2020",
    "||w_k|| = 1 after every step, class-balanced; then w_k / (n_k / n_max)^gamma, gamma picked on validation",
    WvnParams,
    wvn_rs,
    ("sampler", "update", "post-hoc"),
)
POSTHOC_LOGIT_ADJUSTMENT = Method(
    "Post-hoc logit adjustment",
    "Menon et al., 2021, eq 9",
    "argmax_k z_k - tau log prior_k, tau picked on validation",
    PriorParams,
    posthoc_logit_adjustment,
    ("post-hoc",),
    shared_prefix=SharedPrefix(ERM),
)
