"""Tau-normalisation: weight rows of a trained head divided by a power of their norm."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.heads import Head
from trainables.components.heads.cosine_head import NO_DIRECTION
from trainables.components.network import Outputs
from trainables.components.posthoc.candidates import candidates
from trainables.components.posthoc.row_rescaling import linear, rescaled_rows


class TauNormalisation:
    """z_k = (w_k / ||w_k||^tau) . f + b_k.

    tau = 0 is the head as trained; tau = 1 gives all rows the same norm.

    Args:
        tau: in [0, 2]; None selects from 0, 0.1, ... 2.
        keep_bias: keep b; the paper drops it.

    Source: Kang, Xie, Rohrbach, Yan, Gordo, Feng and Kalantidis, 2020, section 4. Deviation: the bias is kept by
    default.

    >>> TauNormalisation(tau=None).values[:2]
    (0.0, 0.1)
    """

    needs_class_means = False

    def __init__(self, tau: float | None, *, keep_bias: bool = True) -> None:
        self.values = candidates(tau, 2.0)
        self._keep_bias = keep_bias

    def logits(self, head: Head, outputs: Outputs, value: float, class_means: Tensor | None) -> Tensor:
        """Return the logits (B, K) of the head normalised with tau = value; rows of norm 0 are unchanged."""
        rows = linear(head)
        lengths = torch.linalg.vector_norm(rows.weight.detach(), dim=1)
        factors = torch.where(lengths > NO_DIRECTION, lengths, 1).pow(-value)
        return rescaled_rows(rows, outputs.logits, factors, keep_bias=self._keep_bias)
