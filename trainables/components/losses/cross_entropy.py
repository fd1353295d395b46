"""Cross entropy, and the two small pieces every loss is built from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from trainables.components.network import Outputs


def promoted(logits: Tensor) -> Tensor:
    """Return logits in the precision a softmax needs: half and bfloat16 as float32, others as they are.

    >>> promoted(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype
    torch.float32
    >>> promoted(torch.zeros(1, 2, dtype=torch.float64)).dtype
    torch.float64
    """
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def target_mask(labels: Tensor, num_classes: int) -> Tensor:
    """Return a boolean mask (B, K), true at each example's own class; nothing waits for the device.

    >>> target_mask(torch.tensor([1, 0]), 2)
    tensor([[False,  True],
            [ True, False]])
    """
    return labels.unsqueeze(1) == torch.arange(num_classes, device=labels.device)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy of every example, -log p_y with p = softmax(z).

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
    """Return the cross entropy of a network's outputs, (B,): the loss of every method that changes something else."""
    return cross_entropy(outputs.logits, labels)
