"""Post-hoc logit adjustment: the scaled log class prior is subtracted from a trained head's logits."""

from __future__ import annotations

from torch import Tensor

from trainables.components.heads import Head
from trainables.components.network import Outputs
from trainables.components.posthoc.candidates import candidates


class PriorSubtraction:
    """z_k - tau * log prior_k with prior_k = n_k / sum n.

    Args:
        tau: in [0, 2]; None selects from 0, 0.1, ... 2.
        class_counts: n, int64 (K,), each at least 1, on the training device.

    Source: Menon, Jayasumana, Rawat, Jain, Veit and Kumar, 2021, eq 9.

    >>> import torch
    >>> adjusted = PriorSubtraction(tau=1.0, class_counts=torch.tensor([9, 1]))
    >>> adjusted.logits(None, Outputs(torch.zeros(1, 1), torch.zeros(1, 2)), 1.0, None)
    tensor([[0.1054, 2.3026]])
    """

    needs_class_means = False

    def __init__(self, tau: float | None, class_counts: Tensor) -> None:
        self.values = candidates(tau, 2.0)
        self._log_prior = (class_counts.double() / class_counts.sum()).log()

    def logits(self, head: Head | None, outputs: Outputs, value: float, class_means: Tensor | None) -> Tensor:
        """Return the logits (B, K) adjusted with tau = value; the head is not used."""
        return outputs.logits - value * self._log_prior.to(outputs.logits.dtype)
