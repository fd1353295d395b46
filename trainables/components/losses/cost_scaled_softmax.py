"""Cost-scaled softmax (CoSen): costs between pairs of classes multiply the exponentials."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.components.losses.cross_entropy import cross_entropy, promoted


def frequency_costs(class_counts: Tensor) -> Tensor:
    """Return the costs xi_{p,q} = max(h_p, h_q), xi_{p,p} = h_p, with h the share of a class.

    Args:
        class_counts: n, training images per class, shape (K,), each at least 1.

    Returns:
        xi, float64, shape (K, K), symmetric, in (0, 1]; true classes are rows.

    Raises:
        ValueError: a class without images.

    Source: Khan, Hayat, Bennamoun, Sohel and Togneri, 2018: the histogram part H of the matrix that their
    costs are learned towards. Separability and confusion, its other two factors, are left out.

    >>> frequency_costs(torch.tensor([3, 1]))
    tensor([[0.7500, 0.7500],
            [0.7500, 0.2500]], dtype=torch.float64)
    """
    if not bool((class_counts > 0).all()):
        raise ValueError(f"`class_counts` must be at least 1 in every class, got {class_counts.tolist()}")
    shares = class_counts.double() / class_counts.sum()
    return torch.maximum(shares.unsqueeze(1), shares.unsqueeze(0))


def cost_scaled_loss(logits: Tensor, labels: Tensor, *, costs: Tensor) -> Tensor:
    """Return -log(xi_{y,y} e^z_y / sum_k xi_{y,k} e^z_k), which is CE(z + log xi_y).

    Args:
        logits: z, shape (B, K).
        labels: y, int64, shape (B,).
        costs: xi, shape (K, K), positive, on the logits' device; multiplying a row changes nothing.

    Returns:
        Shape (B,), nats, at least 0.

    Source: Khan et al., 2018, the cost-sensitive softmax of their cross entropy.

    >>> costs = frequency_costs(torch.tensor([3, 1]))
    >>> cost_scaled_loss(torch.zeros(2, 2), torch.tensor([0, 1]), costs=costs)  # log 2 and log 4
    tensor([0.6931, 1.3863])
    """
    z = promoted(logits)
    return cross_entropy(z + torch.log(costs.to(z.dtype))[labels], labels)
