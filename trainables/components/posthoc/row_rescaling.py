"""Logits of a linear head whose weight rows are rescaled per class."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.heads import Head, LinearHead


def linear(head: Head) -> LinearHead:
    """Return the head after checking that it is linear.

    Raises:
        TypeError: if the head is not a `LinearHead`.
    """
    if not isinstance(head, LinearHead):
        raise TypeError(f"only the rows of a linear head can be rescaled, got {type(head).__name__}")
    return head


def rescaled_rows(head: LinearHead, logits: Tensor, factors: Tensor, *, keep_bias: bool = True) -> Tensor:
    """Return the logits a_k w_k.f + b_k of the head with each row w_k multiplied by a_k.

    Computed from the head's logits as a_k (z_k - b_k) + b_k, which avoids another product with the features.

    Args:
        head: the head, with W (K, d) and b (K,) or None.
        logits: z, (B, K), of this head.
        factors: a, (K,); where a_k is 1 the logits are returned bit for bit.
        keep_bias: add b_k; if False, the result has no bias.

    Returns:
        Shape (B, K), in the dtype of the logits.

    >>> head = LinearHead(1, 2).requires_grad_(False)
    >>> rescaled_rows(head, torch.tensor([[2.0, 3.0]]), torch.tensor([1.0, 0.5]))
    tensor([[2.0000, 1.5000]])
    """
    factors = factors.to(logits.dtype)
    bias = torch.zeros_like(factors) if head.bias is None else head.bias.to(logits.dtype)
    if not keep_bias:
        return factors * (logits - bias)
    return torch.where(factors == 1, logits, factors * (logits - bias) + bias)
