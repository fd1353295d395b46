"""Rows of a trained linear head made longer or shorter, class by class."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.heads import Head, LinearHead


def linear(head: Head) -> LinearHead:
    """Return the head itself.

    Raises:
        TypeError: it has no rows w_k whose length could change.
    """
    if not isinstance(head, LinearHead):
        raise TypeError(f"only the rows of a linear head can be rescaled, got {type(head).__name__}")
    return head


def rescaled_rows(head: LinearHead, logits: Tensor, factors: Tensor, *, keep_bias: bool = True) -> Tensor:
    """Return the logits of the head with row w_k multiplied by factor a_k: a_k w_k.f + b_k.

    Taken from the head's own logits, as a_k (z_k - b_k) + b_k, so that no feature is multiplied again.

    Args:
        head: W (K, d) and b (K,) or none.
        logits: z, (B, K), of that head.
        factors: a, (K,); where it is 1 the logits stay as they are, bit for bit.
        keep_bias: whether b_k is added again.

    Returns:
        Shape (B, K), in the type of the logits.

    >>> head = LinearHead(1, 2).requires_grad_(False)
    >>> rescaled_rows(head, torch.tensor([[2.0, 3.0]]), torch.tensor([1.0, 0.5]))
    tensor([[2.0000, 1.5000]])
    """
    factors = factors.to(logits.dtype)
    bias = torch.zeros_like(factors) if head.bias is None else head.bias.to(logits.dtype)
    if not keep_bias:
        return factors * (logits - bias)
    return torch.where(factors == 1, logits, factors * (logits - bias) + bias)
