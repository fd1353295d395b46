"""Cross entropy, and the two primitives shared by the losses: precision promotion and the target mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from trainables.components.network import Outputs


def promoted(logits: Tensor) -> Tensor:
    """Promote float16 and bfloat16 logits to float32; return other dtypes unchanged.

    >>> promoted(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype
    torch.float32
    >>> promoted(torch.zeros(1, 2, dtype=torch.float64)).dtype
    torch.float64
    """
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def target_mask(labels: Tensor, num_classes: int) -> Tensor:
    """Return a boolean mask (B, K), true at each example's label, without a device synchronisation.

    >>> target_mask(torch.tensor([1, 0]), 2)
    tensor([[False,  True],
            [ True, False]])
    """
    return labels.unsqueeze(1) == torch.arange(num_classes, device=labels.device)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy -log p_y with p = softmax(z) per example.

    Args:
        logits: z, shape (B, K), any floating dtype.
        labels: y, int64, shape (B,), in 0..K-1.

    Returns:
        Shape (B,), nats, at least 0.

    >>> cross_entropy(torch.zeros(2, 4), torch.tensor([0, 3]))
    tensor([1.3863, 1.3863])
    """
    return F.cross_entropy(promoted(logits), labels, reduction="none")


def plain_loss(outputs: Outputs, labels: Tensor) -> Tensor:
    """Return the cross entropy (B,) of a network's outputs, the loss of methods that change no loss."""
    return cross_entropy(outputs.logits, labels)
