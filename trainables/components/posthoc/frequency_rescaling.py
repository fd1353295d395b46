"""Weight vector rescaling: rows of a trained head divided by a power of the class frequency."""

from __future__ import annotations

from torch import Tensor

from trainables.components.heads import Head
from trainables.components.network import Outputs
from trainables.components.posthoc.candidates import candidates
from trainables.components.posthoc.row_rescaling import linear, rescaled_rows


class FrequencyRescaling:
    """z_k = (w_k / (n_k / n_max)^gamma) . f + b_k.

    Args:
        gamma: in [0, 1]; None selects from 0, 0.05, ... 1.
        class_counts: n, int64 (K,), each at least 1, on the training device.

    Source: Kim and Kim, 2020, weight vectors rescaled after training.

    >>> import torch
    >>> FrequencyRescaling(gamma=0.5, class_counts=torch.tensor([4, 1])).factors(0.5)
    tensor([1., 2.], dtype=torch.float64)
    """

    needs_class_means = False

    def __init__(self, gamma: float | None, class_counts: Tensor) -> None:
        self.values = candidates(gamma, 1.0)
        self._shares = class_counts.double() / class_counts.max()

    def factors(self, value: float) -> Tensor:
        """Return (n_k / n_max)^-gamma for gamma = value, float64 (K,), at least 1."""
        return self._shares.pow(-value)

    def logits(self, head: Head, outputs: Outputs, value: float, class_means: Tensor | None) -> Tensor:
        """Return the logits (B, K) of the head rescaled with gamma = value."""
        return rescaled_rows(linear(head), outputs.logits, self.factors(value))
